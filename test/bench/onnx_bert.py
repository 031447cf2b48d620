"""all-MiniLM-L6-v2 as an ONNX file for onnxruntime, made from the safetensors weights.

The graph is written with onnxruntime's own fused operators (com.microsoft: EmbedLayerNormalization,
Attention, SkipLayerNormalization, BiasGelu), which is what its transformer optimizer makes of an
exported model: the peer at its best. Mean pooling and normalisation are done by the caller.
"""
import json
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def read_safetensors(path):
    with open(path, "rb") as f:
        head = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        start = f.tell()
        out = {}
        for name, entry in head.items():
            if name == "__metadata__" or entry["dtype"] != "F32":
                continue
            low, high = entry["data_offsets"]
            f.seek(start + low)
            out[name] = np.frombuffer(f.read(high - low), np.float32).reshape(entry["shape"])
        return out


def build(folder, path):
    if os.path.exists(path):
        return
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    weights = read_safetensors(os.path.join(folder, "model.safetensors"))
    heads, epsilon = config["num_attention_heads"], config["layer_norm_eps"]
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], domain="com.microsoft", **attributes))
        return output

    def weight(name):
        return constant(name, weights[name])

    nodes.append(helper.make_node(
        "EmbedLayerNormalization",
        ["input_ids", "token_type_ids", weight("embeddings.word_embeddings.weight"),
         weight("embeddings.position_embeddings.weight"),
         weight("embeddings.token_type_embeddings.weight"),
         weight("embeddings.LayerNorm.weight"), weight("embeddings.LayerNorm.bias"),
         "attention_mask"],
        ["x0", "mask_index"], domain="com.microsoft", epsilon=epsilon))
    x = "x0"
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."
        query = layer + "attention.self."
        qkv = np.concatenate([weights[query + p + ".weight"].T for p in ("query", "key", "value")],
                             axis=1)
        bias = np.concatenate([weights[query + p + ".bias"] for p in ("query", "key", "value")])
        a = node("Attention", [x, constant(f"qkv{i}", qkv), constant(f"qkv_bias{i}", bias),
                               "mask_index"], f"a{i}", num_heads=heads)

        def dense(name, value, out):
            matrix = constant(name + ".t", weights[name + ".weight"].T)
            nodes.append(helper.make_node("MatMul", [value, matrix], [out]))
            return out

        def add_norm(value, skip, dense_name, norm_name, out):
            return node("SkipLayerNormalization",
                        [value, skip, weight(norm_name + ".weight"), weight(norm_name + ".bias"),
                         weight(dense_name + ".bias")], out, epsilon=epsilon)

        name = layer + "attention.output.dense"
        x = add_norm(dense(name, a, f"o{i}"), x, name, layer + "attention.output.LayerNorm",
                     f"n{i}")
        name = layer + "intermediate.dense"
        h = node("BiasGelu", [dense(name, x, f"u{i}"), weight(name + ".bias")], f"g{i}")
        name = layer + "output.dense"
        x = add_norm(dense(name, h, f"d{i}"), x, name, layer + "output.LayerNorm", f"x{i + 1}")

    shape = ["batch", "length"]
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT32, shape)
              for n in ("input_ids", "token_type_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "minilm", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17),
                                                    helper.make_opsetid("com.microsoft", 1)],
                              ir_version=8)
    onnx.save(model, path + ".new")
    os.rename(path + ".new", path)


class Embedder:
    """Texts to unit vectors with onnxruntime, sorted by length so that padding is least."""

    def __init__(self, folder, cache, threads):
        import onnxruntime
        from tokenizers import Tokenizer

        path = os.path.join(cache, "minilm.onnx")
        build(folder, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(path, options,
                                                    providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.enable_padding()

    def embed(self, texts, batch=32):
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = [None] * len(texts)
        for start in range(0, len(order), batch):
            part = order[start:start + batch]
            encoded = self.tokenizer.encode_batch([texts[i] for i in part])
            ids = np.array([e.ids for e in encoded], np.int32)
            mask = np.array([e.attention_mask for e in encoded], np.int32)
            (hidden,) = self.session.run(None, {"input_ids": ids, "attention_mask": mask,
                                                "token_type_ids": np.zeros_like(ids)})
            pooled = (hidden * mask[:, :, None]).sum(1)
            pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
            for i, vector in zip(part, pooled):
                out[i] = vector
        return out
