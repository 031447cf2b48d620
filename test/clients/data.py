"""The vectors that every client stores, what is nearest among them, and the lines of TAP."""
import math
import random
import sys
import traceback

DIMENSIONS, ROWS, NEAREST = 8, 200, 5
_random = random.Random(415)
VECTORS = [[round(_random.uniform(-1, 1), 3) for _ in range(DIMENSIONS)] for _ in range(ROWS)]
QUERY = [round(_random.uniform(-1, 1), 3) for _ in range(DIMENSIONS)]
TOPICS = ["even" if i % 2 == 0 else "odd" for i in range(ROWS)]


def l2(a, b):
    return math.dist(a, b)


def cosine(a, b):
    return 1 - sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)


def nearest(distance, topic=None):
    """Numbers of the nearest vectors, all or those of a topic."""
    rows = [i for i in range(ROWS) if topic in (None, TOPICS[i])]
    return sorted(rows, key=lambda i: distance(VECTORS[i], QUERY))[:NEAREST]


_count = 0


def check(condition, name):
    global _count
    _count += 1
    print(("ok" if condition else "not ok"), _count, "-", name, flush=True)


def run(*clients):
    """Each client is a function; what it raises is its failure, and the others go on."""
    for client in clients:
        try:
            client()
        except Exception:       # noqa: BLE001: a test reports whatever it is
            check(False, f"{client.__name__} ends")
            for line in traceback.format_exc().splitlines():
                print("#", line)
    print(f"1..{_count}")
    sys.stdout.flush()
