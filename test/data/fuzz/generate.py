#!/usr/bin/env python3
"""Write the fuzzers' seeds: the smallest models and folders that open.

fuzz_gguf/{llama,bert}.gguf, fuzz_safetensors/all.safetensors, and in fuzz_model_folder
one file of each kind, with the byte before it that says which it is.
"""
import json
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
VECTOR, MATRIX = [2], [2, 2]


def write(name, data):
    path = os.path.join(HERE, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def pair(key, value):
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", 6, value)
    if isinstance(value, list):
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    return text(key) + struct.pack("<II", 4, value)


def gguf(pairs, tensors):
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    out += b"".join(pair(k, v) for k, v in pairs.items())
    for i, (name, shape) in enumerate(tensors.items()):
        out += text(name) + struct.pack("<I", len(shape)) + struct.pack("<%dQ" % len(shape), *shape)
        out += struct.pack("<IQ", 0, i * 32)
    out += bytes(-len(out) % 32)
    return out + bytes(32 * len(tensors))


sizes = {"context_length": 2, "embedding_length": 2, "feed_forward_length": 2, "block_count": 1,
         "attention.head_count": 1}
llama = {"token_embd.weight": MATRIX, "output_norm.weight": VECTOR}
for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]:
    llama[f"blk.0.{name}.weight"] = MATRIX
for name in ["attn_norm", "ffn_norm"]:
    llama[f"blk.0.{name}.weight"] = VECTOR
write("fuzz_gguf/llama.gguf", gguf({
    "general.architecture": "llama", **{"llama." + k: v for k, v in sizes.items()},
    "llama.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.tokens": ["a", "b"]}, llama))

bert = {"token_embd.weight": MATRIX, "position_embd.weight": MATRIX, "token_types.weight": MATRIX,
        "token_embd_norm.weight": VECTOR, "token_embd_norm.bias": VECTOR}
for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"]:
    bert[f"blk.0.{name}.weight"], bert[f"blk.0.{name}.bias"] = MATRIX, VECTOR
for name in ["attn_output_norm", "layer_output_norm"]:
    bert[f"blk.0.{name}.weight"], bert[f"blk.0.{name}.bias"] = VECTOR, VECTOR
write("fuzz_gguf/bert.gguf", gguf({
    "general.architecture": "bert", **{"bert." + k: v for k, v in sizes.items()},
    "bert.attention.layer_norm_epsilon": 1e-5, "bert.pooling_type": 2,
    "tokenizer.ggml.token_type_count": 2, "tokenizer.ggml.tokens": ["a", "b"]}, bert))

header, offset = {"__metadata__": {"format": "pt"}}, 0
for dtype, width in {"I64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1}.items():
    header[dtype] = {"dtype": dtype, "shape": [2, 3], "data_offsets": [offset, offset + 6 * width]}
    offset += 6 * width
packed = json.dumps(header).encode()
write("fuzz_safetensors/all.safetensors", struct.pack("<Q", len(packed)) + packed + bytes(offset))

config = {"vocab_size": 2, "hidden_size": 2, "intermediate_size": 2, "num_hidden_layers": 1,
          "num_attention_heads": 1, "max_position_embeddings": 2}
folder = [
    {"architectures": ["BertForSequenceClassification"], "model_type": "bert", **config,
     "hidden_act": "gelu", "layer_norm_eps": 1e-12, "type_vocab_size": 2, "id2label": {"0": "a"},
     "position_embedding_type": "absolute", "is_decoder": False, "_name_or_path": "x"},
    {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **config, "head_dim": 2,
     "num_key_value_heads": 1, "hidden_act": "silu", "rms_norm_eps": 1e-6, "attention_bias": True,
     "tie_word_embeddings": False, "mlp_bias": False, "rope_parameters": {
         "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": 2, "rope_theta": 1e4}},
    {"weight_map": {"a": "config.json", "b": "1.safetensors"}},
    [{"type": "models.Transformer", "path": ""}, {"type": "models.Pooling", "path": "1_Pooling"},
     {"type": "models.Normalize"}, {"type": "models.Dropout"}],
    {"word_embedding_dimension": 2, "pooling_mode_mean_tokens": True,
     "pooling_mode_cls_token": False},
    {"max_seq_length": 2, "do_lower_case": True},
    {"model_max_length": 2},
]
for i, (which, value) in enumerate(zip([0, 0, 2, 3, 4, 5, 6], folder)):
    write(f"fuzz_model_folder/{i}", bytes([which]) + json.dumps(value).encode())

# fuzz_tokenizer: the first byte says what follows (see fuzz_tokenizer.c)
TOKENS = os.path.join(HERE, "..", "tokens")
for name in ["tiny_llama3", "tiny_llama2", "tiny_bert_cased", "tiny_unigram"]:
    spec = json.load(open(os.path.join(TOKENS, name + ".tokenizer.json")))
    model = spec["model"]
    if "merges" in model:
        model["vocab"] = {t: i for i, t in enumerate(["<unk>", "<s>", "</s>", "a", "b", "ab", "<0x0A>"])}
        model["merges"] = ["a b"]
    elif isinstance(model["vocab"], list):
        model["vocab"] = model["vocab"][:20]
    else:
        model["vocab"] = dict(list(model["vocab"].items())[:20])
    write("fuzz_tokenizer/" + name, b"\1" + json.dumps(spec).encode() +
          b'\0{"bos_token":"<s>","do_lower_case":true}')
sample = "I'll pay  12345 caf\u00e9s,\r\n\u4e2d\u6587 \U0001f600 keep words <s>\t"
for i in range(5):
    write(f"fuzz_tokenizer/text{i}", bytes([i << 2]) + sample.encode())
lines = "a\nb\nab\n\u0120a\na b\n\u2581a\n[CLS]\n[SEP]\n[UNK]\n<0x0A>\n  "
for i in range(3):
    write(f"fuzz_tokenizer/metadata{i}", bytes([2 | i << 2]) + lines.encode())
for family in json.load(open(os.path.join(TOKENS, "chat_families.json"))):
    write("fuzz_tokenizer/" + family["name"], b"\3" + family["template"].encode() + b"\0hi <|im_end|>")
write("fuzz_json/all", b'{"a":[1,-2.5e3,true,false,null,"\\u00e9\\ud83d\\ude00\\n"],"b":{"c":{}}}')
