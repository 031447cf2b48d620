"""Ours by forward.c, vLLM's by vllm_peer.py, in turn, and what the device cannot be faster than."""
import json
import os
import re
import subprocess

from harness import Report

LLM, ENCODER = os.environ["BENCH_LLM"], os.environ["BENCH_ENCODER"]
VLLM = os.environ.get("BENCH_VLLM")
MEMORY = float(os.environ.get("BENCH_MEMORY", 3.0e12))
MATRIX = float(os.environ.get("BENCH_MATRIX", 798e12))
PROMPTS = (512, 2048)
DECODES = ((1, 1024), (8, 1024), (64, 1024))   # sequences, tokens before
STEPS = 64
TEXTS = ((1, 512), (64, 512), (256, 32))       # texts, tokens


def forward(model, *arguments):
    """What forward.c prints: the device, and {what was measured: units a second}."""
    text = subprocess.run([os.environ["BENCH_FORWARD"], model, "cuda", *map(str, arguments)],
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    return text.splitlines()[0], {kind: float(rate) for kind, rate in
                                  re.findall(r"^(\w+) .*: ([\d.]+) ", text, re.M)}


def vllm(kind, model, *arguments):
    """The rate and the version, or None: no vLLM, or it does not take the model."""
    if not VLLM or not os.path.isdir(model):
        return None
    run = subprocess.run([VLLM, os.path.join(os.path.dirname(__file__), "vllm_peer.py"), kind, model,
                          *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    return json.loads(run.stdout.splitlines()[-1]) if run.returncode == 0 else None


class Sizes:
    """Parameters and cached bytes of a model's folder; None where it is a single file."""

    def __init__(self, folder):
        with open(os.path.join(folder, "config.json")) as f:
            c = json.load(f)
        heads = c["num_attention_heads"]
        size = c.get("head_dim") or c["hidden_size"] // heads
        kv_heads = c.get("num_key_value_heads", heads)
        gated = c.get("model_type") == "llama"
        layer = c["hidden_size"] * (2 * heads + 2 * kv_heads) * size + \
            (3 if gated else 2) * c["hidden_size"] * c["intermediate_size"]
        self.layers = c["num_hidden_layers"] * layer
        self.output = c["vocab_size"] * c["hidden_size"]
        self.token = 2 * c["num_hidden_layers"] * kv_heads * size * 2
        self.scores = 4 * c["num_hidden_layers"] * heads * size    # FLOP by query and key

    @staticmethod
    def of(path):
        return Sizes(path) if os.path.isdir(path) else None

    def decode_bound(self, sequences, before):
        read = 2 * (self.layers + self.output) + sequences * before * self.token
        flop = sequences * (2 * (self.layers + self.output) + before * self.scores)
        return sequences / max(read / MEMORY, flop / MATRIX)

    def rows_bound(self, tokens, causal):
        flop = 2 * self.layers * tokens + self.scores * tokens * tokens / (2 if causal else 1)
        return 1 / (flop / MATRIX)


def show(report, name, unit, ours, bound, peer):
    share = f", {ours / bound:.0%} of what the device can" if bound else ""
    if peer:
        report.add("cuda", name, unit, ours, peer["rate"], "vLLM", peer["version"], 1.0)
    else:
        print(f"{name:34} {ours:12.1f} {unit}{share}", flush=True)


def main():
    device, _ = forward(LLM, 16, 1)
    report = Report(device)
    print(device)
    llm, encoder = Sizes.of(LLM), Sizes.of(ENCODER)
    for tokens in PROMPTS:
        show(report, f"prompt of {tokens}", "tokens/s", forward(LLM, tokens, 0)[1]["prompt"],
             llm and tokens * llm.rows_bound(tokens, True), vllm("prompt", LLM, tokens))
    for sequences, before in DECODES:
        show(report, f"decode, {sequences} after {before}", "tokens/s",
             forward(LLM, before, STEPS, sequences)[1]["decode"],
             llm and llm.decode_bound(sequences, before),
             vllm("decode", LLM, before, STEPS, sequences))
    for texts, tokens in TEXTS:
        show(report, f"embed {texts} x {tokens} tokens", "texts/s",
             forward(ENCODER, tokens, texts)[1]["encode"],
             encoder and encoder.rows_bound(tokens, False), vllm("embed", ENCODER, tokens, texts))
    report.write("bench-cuda.json")


main()
