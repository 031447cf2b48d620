"""hnswlib beside the servers: a graph in the memory of one process, without SQL, rows or changes that last.

It is what a search costs at least by this algorithm over floats: no row of it has a target. Both processors
search, as two clients keep both busy; it was compiled for this machine (-march=native), which the
servers were not.
"""
import time

try:
    import hnswlib
except ImportError:     # it could not be built here
    hnswlib = None

NAME = "hnswlib"
M, EF_CONSTRUCTION = 16, 64


def build(data):
    """(the index, seconds) by one thread."""
    index = hnswlib.Index(space="ip", dim=data.dimensions)
    index.init_index(max_elements=len(data.rows), M=M, ef_construction=EF_CONSTRUCTION)
    start = time.perf_counter()
    index.add_items(data.rows, num_threads=1)
    return index, time.perf_counter() - start


def point(index, data, ef, nearest, rounds):
    """(recall, queries a second of two threads), the best round."""
    index.set_ef(max(ef, nearest))
    best = 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        labels, _ = index.knn_query(data.queries, k=nearest, num_threads=2)
        best = max(best, len(data.queries) / (time.perf_counter() - start))
    hits = sum(len(set(found) & truth) for found, truth in zip(labels.tolist(), data.truth))
    return hits / (nearest * len(data.queries)), best
