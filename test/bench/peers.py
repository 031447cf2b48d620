"""The peers that compute without a server: llama.cpp below its Python classes, onnxruntime, OpenVINO."""
import importlib.metadata
import time

import numpy as np


def clock(threads):
    """With one thread, processor time: others on the machine disturb it least."""
    return time.process_time if threads == 1 else time.perf_counter


def best(action, work, threads, repetitions=2):
    """Most units a second of several runs: other load can only slow a run down."""
    now, rates = clock(threads), []
    action()
    for _ in range(repetitions):
        start, runs = now(), 0
        while runs == 0 or now() - start < 0.2:
            action()
            runs += 1
        rates.append(runs * work / (now() - start))
    return max(rates)


class Llama:
    """llama.cpp's own batches: what its server computes with, and nothing of the server."""

    name = "llama.cpp (llama-cpp-python)"

    def __init__(self, path, threads, sequences, length):
        import llama_cpp as lib

        self.lib, self.threads = lib, threads
        self.version = importlib.metadata.version("llama-cpp-python")
        lib.llama_backend_init()
        quiet = lib.llama_log_callback(lambda *_: None)
        lib.llama_log_set(quiet, None)
        self.quiet = quiet      # ctypes does not keep it alive
        self.model = lib.llama_model_load_from_file(path.encode(),
                                                    lib.llama_model_default_params())
        params = lib.llama_context_default_params()
        params.n_ctx = max(sequences * length, 1024)
        params.n_batch = params.n_ubatch = 512
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        self.context = lib.llama_init_from_model(self.model, params)
        self.memory = lib.llama_get_memory(self.context)
        self.batch = lib.llama_batch_init(512, 0, 1)
        if not self.context:
            raise SystemExit(f"bench: llama.cpp does not take {path}")

    def close(self):
        self.lib.llama_batch_free(self.batch)
        self.lib.llama_free(self.context)
        self.lib.llama_model_free(self.model)

    def clear(self):
        self.lib.llama_memory_clear(self.memory, True)

    def decode(self, rows):
        """rows: (sequence, position, whether its logits are wanted), at most 512."""
        for i, (sequence, position, wanted) in enumerate(rows):
            self.batch.token[i] = 100 + position * 13 % 30000
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = sequence
            self.batch.logits[i] = wanted
        self.batch.n_tokens = len(rows)
        if self.lib.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("bench: llama_decode failed")

    def prompt(self, tokens, sequence=0):
        for start in range(0, tokens, 512):
            end = min(start + 512, tokens)
            self.decode([(sequence, p, p == tokens - 1) for p in range(start, end)])

    def prompt_rate(self, tokens):
        def once():
            self.clear()
            self.prompt(tokens)
        return best(once, tokens, self.threads)

    def decode_rate(self, sequences, after, shared, count=16):
        """Tokens a second of all sequences together, after prompts of their own or a shared one."""
        self.clear()
        for s in range(sequences if not shared else min(after, 1)):
            self.prompt(after, s)
        for s in range(1, sequences if shared else 0):
            self.lib.llama_memory_seq_cp(self.memory, 0, s, -1, -1)

        def once():
            for s in range(sequences):
                self.lib.llama_memory_seq_rm(self.memory, s, after, -1)
            for t in range(count):
                self.decode([(s, after + t, True) for s in range(sequences)])
        return best(once, count * sequences, self.threads)


def ids(tokens, texts):
    return (1000 + np.arange(tokens * texts, dtype=np.int32).reshape(texts, tokens) * 7 % 20000)


class OnnxRuntime:
    name = "onnxruntime fp32"

    def __init__(self, folder, cache, threads):
        from onnx_bert import Embedder

        self.embedder, self.threads = Embedder(folder, cache, threads), threads
        self.version = importlib.metadata.version("onnxruntime")

    def rate(self, tokens, texts):
        feed = {"input_ids": ids(tokens, texts), "token_type_ids": np.zeros((texts, tokens), np.int32),
                "attention_mask": np.ones((texts, tokens), np.int32)}
        return best(lambda: self.embedder.session.run(None, feed), texts, self.threads)


class OpenVino:
    name = "OpenVINO fp32"

    def __init__(self, path, threads):
        import openvino

        self.threads = threads
        self.version = importlib.metadata.version("openvino")
        core = openvino.Core()
        self.request = core.compile_model(core.read_model(path), "CPU", {
            "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY"}).create_infer_request()

    def rate(self, tokens, texts):
        feed = [ids(tokens, texts), np.zeros((texts, tokens), np.int32),
                np.ones((texts, tokens), np.int32)]
        return best(lambda: self.request.infer(feed), texts, self.threads)
