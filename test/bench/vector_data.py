"""The data sets of the vector suite: vectors, queries, and the true ten nearest of each query.

text      chunks of PostgreSQL's documentation, embedded by MiniLM (384); the queries are its headings
topics128, topics1024
          synthetic: unit vectors of tanh(z W1 + b) W2 + 2% noise, z from 200 Gaussian topics
          in 20 or 28 dimensions, 512 hidden units

Each is computed once and kept in the cache folder.
"""
import glob
import hashlib
import os
import re

import numpy as np

QUERIES = 500
NEAREST = 10
#        name: rows at SCALE=full, dimensions, dimensions of z
SYNTHETIC = {"topics128": (200_000, 128, 20), "topics1024": (100_000, 1024, 28)}
SMALL = 5       # SCALE=small has a fifth of the synthetic rows
NAMES = ["text", *SYNTHETIC]


class Set:
    def __init__(self, name, rows, queries):
        self.name, self.rows, self.queries = name, rows, queries
        self.truth = nearest(rows, queries)

    @property
    def dimensions(self):
        return self.rows.shape[1]


def nearest(rows, queries, among=None):
    """Numbers of the nearest rows of each query (all vectors have norm 1)."""
    numbers = np.arange(len(rows)) if among is None else among
    products = queries @ rows[numbers].T
    best = np.argpartition(-products, NEAREST, axis=1)[:, :NEAREST]
    return [set(numbers[b].tolist()) for b in best]


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def synthetic(rows, dimensions, latent):
    random = np.random.default_rng(415)
    topics = random.normal(size=(200, latent))
    w1 = random.normal(size=(latent, 512)) / np.sqrt(latent)
    bias = random.normal(size=512)
    w2 = random.normal(size=(512, dimensions)) / np.sqrt(512)

    def draw(count):
        out = np.empty((count, dimensions), np.float32)
        for start in range(0, count, 20_000):
            part = slice(start, min(start + 20_000, count))
            n = part.stop - part.start
            z = topics[random.integers(0, 200, n)] + random.normal(size=(n, latent))
            x = np.tanh(z @ w1 + bias) @ w2
            noise = random.normal(size=x.shape) * (0.02 * np.linalg.norm(x, axis=1, keepdims=True) /
                                                   np.sqrt(dimensions))
            out[part] = unit(x + noise)
        return out

    return draw(rows), draw(QUERIES)


def headings(pages):
    found = set()
    for page in pages:
        for text in re.findall(r"<h[1-3][^>]*>(.*?)</h[1-3]>", page, re.S):
            text = re.sub(r"^[\dA-Z]+(\.\d+)*\.\s*", "", re.sub(r"<[^>]*>|\s+", " ", text).strip())
            if len(text) >= 12:
                found.add(text)
    return sorted(found)


def text(db):
    """Chunks and headings, embedded inside the server of the connection."""
    pages = [open(n, encoding="utf-8").read()
             for n in sorted(glob.glob(os.path.join(os.environ["BENCH_DOCUMENTS"], "*.html")))]
    db.execute("SELECT rag.load_model('vector_minilm', %s, options => '{\"overflow\": \"truncate\"}')",
               [os.path.join(os.environ["BENCH_MODELS"], "minilm")])
    chunks = [r[0] for r in db.execute(
        "SELECT DISTINCT c.chunk FROM unnest(%s::text[]) p, chunk(rag.html_to_text(p), 512, 51) c "
        "WHERE length(c.chunk) >= 100 ORDER BY 1", [pages])]

    def embed(texts):
        out = []
        for start in range(0, len(texts), 500):
            print(f"\rembedding {start} of {len(texts)} texts", end="", flush=True)
            vectors = db.execute("SELECT unnest(embed(%s::text[], 'vector_minilm'))::text",
                                 [texts[start:start + 500]]).fetchall()
            out += [np.fromstring(v[0].strip("[]"), np.float32, sep=",") for v in vectors]
        print(f"\r{len(texts)} texts are embedded    ")
        return unit(np.array(out))

    questions = headings(pages)
    np.random.default_rng(415).shuffle(questions)
    return embed(chunks), embed(questions[:QUERIES])


def load(name, db):
    full = os.environ.get("SCALE", "full") == "full"
    rows = None if name == "text" else SYNTHETIC[name][0] // (1 if full else SMALL)
    key = hashlib.sha256(open(__file__, "rb").read()).hexdigest()[:10]
    path = os.path.join(os.environ["BENCH_CACHE"], f"vectors-{name}-{rows or 'all'}-{key}.npz")
    if not os.path.exists(path):
        vectors, queries = text(db) if name == "text" else synthetic(rows, *SYNTHETIC[name][1:])
        partial = path + ".partial.npz"
        np.savez(partial, rows=vectors, queries=queries)
        os.rename(partial, path)
    with np.load(path) as file:
        return Set(name, file["rows"], file["queries"])
