"""vLLM on the work that forward.c does: prints {"rate": units a second, "version": ...} on its last line.

    vllm_peer.py prompt MODEL TOKENS
    vllm_peer.py decode MODEL BEFORE STEPS SEQUENCES
    vllm_peer.py embed FOLDER TOKENS TEXTS
"""
import json
import sys
import time

import vllm

REPETITIONS = 5


def prompts(count, tokens):
    # of different tokens: nothing of one is the beginning of another
    return [{"prompt_token_ids": [1000 + (i * 7 + s * 101) % 20000 for i in range(tokens)]}
            for s in range(count)]


def best(action):
    action()
    times = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def generator(model, length, sequences):
    engine = vllm.LLM(model=model, max_model_len=length, max_num_seqs=sequences,
                      enable_prefix_caching=False)

    def generate(count, tokens, steps):
        sampling = vllm.SamplingParams(temperature=0, max_tokens=steps, ignore_eos=True)
        return lambda: engine.generate(prompts(count, tokens), sampling, use_tqdm=False)
    return generate


def main():
    kind, model, *numbers = sys.argv[1:]
    numbers = [int(n) for n in numbers]
    if kind == "prompt":
        generate = generator(model, numbers[0] + 16, 1)
        rate = numbers[0] / best(generate(1, numbers[0], 1))
    elif kind == "decode":
        before, steps, sequences = numbers
        generate = generator(model, before + steps + 16, sequences)
        # what the steps after the first cost beside the prompts
        rate = steps * sequences / (best(generate(sequences, before, steps + 1)) -
                                    best(generate(sequences, before, 1)))
    else:
        tokens, texts = numbers
        engine = vllm.LLM(model=model, task="embed", max_model_len=tokens)
        rate = texts / best(lambda: engine.embed(prompts(texts, tokens), use_tqdm=False))
    print(json.dumps({"rate": rate, "version": vllm.__version__}))


main()
