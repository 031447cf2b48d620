"""The engine's kernels alone, driven by forward.c, against libraries driven without a server."""
import os
import re
import subprocess

import gguf_files
import peers

MODELS, CACHE = os.environ["BENCH_MODELS"], os.environ["BENCH_CACHE"]
SEQUENCES = (1, 2, 4, 8, 16)
PROMPT = 512


def forward(model, threads, *arguments):
    """What forward.c prints, as {what was measured: units a second}."""
    text = subprocess.run([os.environ["BENCH_FORWARD"], model, str(threads), *map(str, arguments)],
                          env=dict(os.environ, REPETITIONS="2"), check=True, capture_output=True,
                          text=True).stdout
    return {kind: float(rate) for kind, rate in re.findall(r"^(\w+) .*: ([\d.]+) ", text, re.M)}


def weight_files():
    small = os.path.join(MODELS, "smollm2.gguf")
    yield "SmolLM2 Q4_1", small, 2.5, 1.5
    for name in ("Q4_0", "Q8_0", "F16"):
        yield "SmolLM2 " + name, gguf_files.requantised(small, CACHE, name), 1.0, 1.0
    for name in ("Q4_0", "Q4_K"):
        yield "1.1B " + name, gguf_files.random_large(small, CACHE, name), 1.0, 1.0


def weights(report, threads):
    """Prompts and decoding, by type of weight; targets: of the prompt, of many sequences."""
    try:
        import llama_cpp  # noqa: F401
    except ImportError:
        print("weights: skipped, llama-cpp-python is not installed")
        return
    for name, path, prompt_target, many_target in weight_files():
        large = name.startswith("1.1B")
        peer = peers.Llama(path, threads, 16, PROMPT + 64)
        prompt = 128 if large else PROMPT

        def decode(sequences):
            return forward(path, threads, 0, 16, sequences)["decode"]

        def row(what, ours, theirs, target):
            report.in_turn("serving", f"{name}: {what}", "tokens/s", ours, theirs, peer.name,
                           peer.version, target)

        row(f"prompt of {prompt}", lambda: forward(path, threads, prompt, 1)["prompt"],
            lambda: peer.prompt_rate(prompt), prompt_target)
        for n in (1, 8) if large else SEQUENCES:
            row(f"decode, {n} at once", lambda: decode(n), lambda: peer.decode_rate(n, 0, False),
                1.1 if n == 1 else many_target)
        if not large:
            report.in_turn("serving", f"{name}: 16 at once against 1, our own", "tokens/s",
                           lambda: decode(16), lambda: decode(1), "our single sequence", "", 2.5)
            row(f"16 over a shared prefix of {PROMPT}",
                lambda: forward(path, threads, PROMPT, 16, 16, "shared")["decode"],
                lambda: peer.decode_rate(16, PROMPT, True), 1.5)
        peer.close()


def embedding(report, threads):
    """fp32 BERT: the same ids, of equal length, without pooling on the peers' side."""
    folder = os.path.join(MODELS, "minilm")
    rivals = [peers.OnnxRuntime(folder, CACHE, threads)]
    try:
        rivals.append(peers.OpenVino(os.path.join(CACHE, "minilm.onnx"), threads))
    except ImportError:
        print("embedding: OpenVINO is not installed")
    for tokens, texts in ((16, 1), (16, 32), (128, 1), (128, 32), (512, 1), (512, 32)):
        def ours(*options):
            return forward(folder, threads, tokens, texts, *options)["encode"]

        for rival in rivals:
            report.in_turn("serving", f"embed {texts} x {tokens} tokens, fp32", "texts/s", ours,
                           lambda: rival.rate(tokens, texts), rival.name, rival.version, 1.0)
        report.in_turn("serving", f"embed {texts} x {tokens} tokens, int8", "texts/s",
                       lambda: ours("int8"), ours, "our own fp32", "", 1.5)
