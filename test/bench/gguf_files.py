"""GGUF files that no wheel carries: one model in other weight types, and a large one of random weights."""
import os

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

FILE_TYPES = {"Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "F16": 1, "Q4_K": 15}
# TinyLlama's shape with SmolLM2's vocabulary
LARGE = dict(layers=22, hidden=2048, ff=5632, heads=32, kv_heads=4, head_size=64)


def copy_fields(reader, writer, skip):
    for name, field in reader.fields.items():
        if name in skip or name.startswith("GGUF."):
            continue
        kind = field.types[0]
        sub_type = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=sub_type)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def requantised(source, folder, name):
    """The model of `source` with its matrices as `name`; its embedding stays as it is, but for F16."""
    path = os.path.join(folder, f"smollm2-{name}.gguf")
    if os.path.exists(path):
        return path
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(path + ".new", "llama")
    copy_fields(reader, writer, {"general.architecture", "general.file_type"})
    writer.add_file_type(FILE_TYPES[name])
    for t in reader.tensors:
        if t.tensor_type == Type.F32 or (t.tensor_type == Type.Q8_0 and name != "F16"):
            writer.add_tensor(t.name, t.data, raw_dtype=t.tensor_type)
            continue
        values = gguf.quants.dequantize(t.data, t.tensor_type)
        writer.add_tensor(t.name, gguf.quants.quantize(values, Type[name]), raw_dtype=Type[name])
    finish(writer)
    os.rename(path + ".new", path)
    return path


def random_blocks(rng, kind, rows, columns):
    """Random bytes that are blocks of this type, with scales that keep activations tame."""
    size, bytes_ = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (rows, columns // size, bytes_), np.uint8)
    halves = 2 if kind == Type.Q4_K else 1
    scale = np.float16(0.03 / (63 * 8 if kind == Type.Q4_K else 8))
    blocks[..., :2 * halves] = np.frombuffer(np.repeat(scale, halves).tobytes(), np.uint8)
    return blocks.reshape(rows, -1)


def random_large(source, folder, name):
    """1.1B parameters; the tokenizer is that of `source`."""
    path = os.path.join(folder, f"large-{name}.gguf")
    if os.path.exists(path):
        return path
    kind, shape, rng = Type[name], LARGE, np.random.default_rng(415)
    reader = gguf.GGUFReader(source)
    vocabulary = len(reader.fields["tokenizer.ggml.tokens"].data)
    writer = gguf.GGUFWriter(path + ".new", "llama")
    copy_fields(reader, writer, {n for n in reader.fields
                                 if n.startswith(("general.", "llama."))})
    writer.add_file_type(FILE_TYPES[name])
    writer.add_block_count(shape["layers"])
    writer.add_context_length(4096)
    writer.add_embedding_length(shape["hidden"])
    writer.add_feed_forward_length(shape["ff"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(shape["head_size"])
    writer.add_vocab_size(vocabulary)
    hidden, kv = shape["hidden"], shape["kv_heads"] * shape["head_size"]

    def matrix(tensor, rows, columns):
        writer.add_tensor(tensor + ".weight", random_blocks(rng, kind, rows, columns), raw_dtype=kind)

    def ones(tensor):
        writer.add_tensor(tensor + ".weight", np.ones(hidden, np.float32))

    matrix("token_embd", vocabulary, hidden)
    ones("output_norm")
    for i in range(shape["layers"]):
        block = f"blk.{i}."
        for tensor, rows, columns in (("attn_q", hidden, hidden), ("attn_k", kv, hidden),
                                      ("attn_v", kv, hidden), ("attn_output", hidden, hidden),
                                      ("ffn_gate", shape["ff"], hidden),
                                      ("ffn_up", shape["ff"], hidden),
                                      ("ffn_down", hidden, shape["ff"])):
            matrix(block + tensor, rows, columns)
        ones(block + "attn_norm")
        ones(block + "ffn_norm")
    finish(writer)
    os.rename(path + ".new", path)
    return path
