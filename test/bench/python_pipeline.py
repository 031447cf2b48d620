"""The pipeline of the demo in Python, as it is commonly wired together; whole.py measures it.

    python_pipeline.py FOLDER-OF-PAGES MINILM-FOLDER GGUF-FILE QUESTION THREADS

Prints the number of chunks, the answer, and its sources.
"""
import os
import sys
import tempfile

import torch
import xllamacpp
from bs4 import BeautifulSoup
from langchain_text_splitters import RecursiveCharacterTextSplitter
from pymilvus import MilvusClient
from sentence_transformers import SentenceTransformer

SYSTEM = "Answer the question in one or two sentences, using only the context."
folder, minilm, gguf, question, threads = sys.argv[1:]
torch.set_num_threads(int(threads))

splitter = RecursiveCharacterTextSplitter(chunk_size=512, chunk_overlap=51)
chunks, sources = [], []
for name in sorted(os.listdir(folder)):
    with open(os.path.join(folder, name), encoding="utf-8") as page:
        text = BeautifulSoup(page.read(), "html.parser").get_text()
    found = splitter.split_text(text)
    chunks += found
    sources += [name] * len(found)

embedder = SentenceTransformer(minilm, device="cpu")
vectors = embedder.encode(chunks, normalize_embeddings=True, show_progress_bar=False)

with tempfile.TemporaryDirectory() as place:
    client = MilvusClient(os.path.join(place, "milvus.db"))
    client.create_collection("chunks", dimension=vectors.shape[1], metric_type="COSINE")
    client.insert("chunks", [dict(id=i, vector=v, chunk=c, source=s)
                             for i, (v, c, s) in enumerate(zip(vectors.tolist(), chunks, sources))])
    query = embedder.encode([question], normalize_embeddings=True)[0].tolist()
    hits = [h["entity"] for h in client.search("chunks", [query], limit=2, output_fields=["chunk", "source"])[0]]
    client.close()

params = xllamacpp.CommonParams()
params.model.path = gguf
params.n_ctx = 2048
params.n_parallel = 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
params.warmup = False
params.verbosity = -1
server = xllamacpp.Server(params)
context = "\n\n".join(h["chunk"] for h in reversed(hits))
answer = server.handle_chat_completions(dict(
    messages=[dict(role="system", content=SYSTEM),
              dict(role="user", content=f"Context: {context}\n\nQuestion: {question}\nAnswer:")],
    temperature=0.2, top_p=0.95, seed=415, max_tokens=128))
print(len(chunks), "chunks")
print(answer["choices"][0]["message"]["content"])
print("Sources:", ", ".join(sorted({h["source"] for h in hits})))
