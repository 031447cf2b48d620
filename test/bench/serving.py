"""Serving: what one server does for many sessions; PART=a,b chooses parts (engine.py has the first two).

weights     prompt and decode by type of weight, against llama.cpp
embedding   fp32 embedding by length and batch, against onnxruntime and OpenVINO
chunks      a thousand chunks of real pages, against onnxruntime with sorted padding
sessions    eight sessions that embed a text each; the empty round trip
speculation one sequence with guesses at its next tokens, and the same without
prefix      sixteen prompts with a common beginning, against our own without and llama.cpp's server
stalls      the gaps between the tokens of a stream while a long prompt is computed
"""
import glob
import itertools
import os
import threading
import time

import numpy as np
import psycopg

import engine
import harness
from pipeline import pages, version

MODELS = engine.MODELS
SESSIONS = 16
PREFIX_TOKENS = 512
QUESTION_TOKENS = 16
PROMPT_TOKENS = 2000
ROUND_TRIP_US = 60


def connect():
    return psycopg.connect(host=os.environ["BENCH_HOST"], user="postgres", dbname="postgres",
                           autocommit=True)


def together(actions):
    """Start all at the same moment; seconds until the last is done."""
    barrier, errors = threading.Barrier(len(actions) + 1), []

    def run(action):
        barrier.wait()
        try:
            action()
        except Exception as error:      # reported by the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=run, args=(a,)) for a in actions]
    for t in threads:
        t.start()
    barrier.wait()
    start = time.perf_counter()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return time.perf_counter() - start


def load_models(db):
    db.execute("SELECT rag.load_model('serving_minilm', %s, options => '{\"overflow\": \"truncate\"}')",
               [os.path.join(MODELS, "minilm")])
    db.execute("SELECT rag.load_model('serving_smollm', %s, options => "
               "'{\"max_model_len\": 4096, \"kv_cache_tokens\": 32768, \"max_num_seqs\": 64}')",
               [os.path.join(MODELS, "smollm2.gguf")])


def real_chunks(db, count):
    """Chunks of PostgreSQL's pages, no two the same."""
    names = sorted(glob.glob(os.path.join(os.environ["BENCH_DOCUMENTS"], "*.html")))
    chunks = {}
    for name in names:
        with open(name, encoding="utf-8") as f:
            rows = db.execute("SELECT chunk FROM chunk(rag.html_to_text(%s), 512, 51)", [f.read()])
            chunks.update(dict.fromkeys(r[0] for r in rows))
        if len(chunks) >= count:
            break
    return list(chunks)[:count]


def mixed_chunks(db, report, threads):
    from onnx_bert import Embedder

    texts = real_chunks(db, 1000)
    peer = Embedder(os.path.join(MODELS, "minilm"), engine.CACHE, threads)
    report.paired("serving", f"embed {len(texts)} chunks of real pages", len(texts), "texts/s",
                  lambda: db.execute("SELECT cardinality(embed(%s::text[], 'serving_minilm'))",
                                     [texts]).fetchone(),
                  lambda: peer.embed(texts), "onnxruntime fp32, sorted", version("onnxruntime"), 1.3)


def embedding_sessions(db, report, sessions=8, calls=16):
    chunks = real_chunks(db, sessions * calls)
    connections = [connect() for _ in range(sessions)]
    rounds = itertools.count()

    def new_texts():
        # embeddings of texts that were asked for before are remembered
        n = next(rounds)
        return [f"{n} {c}" for c in chunks]

    def caller(i, texts):
        def run():
            for text in texts[i::sessions]:
                connections[i].execute("SELECT embed(%s, 'serving_minilm')", [text]).fetchone()
        return run

    def one_by_one():
        texts = new_texts()
        together([caller(i, texts) for i in range(sessions)])

    def batches():
        texts = new_texts()
        for start in range(0, len(texts), 32):
            db.execute("SELECT cardinality(embed(%s::text[], 'serving_minilm'))",
                       [texts[start:start + 32]]).fetchone()

    report.paired("serving", f"{sessions} sessions embed one text each", sessions * calls, "texts/s",
                  one_by_one, batches, "ourselves, 32 at a time", "", 0.8)
    for c in connections:
        c.close()


def round_trip(db, report, calls=5000):
    db.execute("""
CREATE OR REPLACE PROCEDURE bench_round_trips(n int) LANGUAGE plpgsql AS
$$BEGIN FOR i IN 1..n LOOP PERFORM token_count('a', 'serving_smollm'); END LOOP; END$$""")
    db.execute("CALL bench_round_trips(100)")
    rate = max(calls / harness.seconds(lambda: db.execute("CALL bench_round_trips(%s)", [calls]))
               for _ in range(3))
    report.add("serving", "round trip of a token count", "calls/s", rate, 1e6 / ROUND_TRIP_US,
               f"a call in {ROUND_TRIP_US} us", "", 1.0)


ANSWER = ("SELECT generate(%s, model => 'serving_smollm', temperature => %s, seed => 415, max_tokens => %s, "
          "options => %s)")
QUESTIONS = ("What kinds of index does PostgreSQL provide?", "What is a partial index?", "What is a covering index?",
             "When does a multicolumn index help?", "What does CREATE INDEX CONCURRENTLY do?",
             "What is the difference between GIN and GiST for text search?", "What is a tsvector?",
             "What does a thesaurus dictionary do?", "How are search results ranked?",
             "Why is an index not used?", "What are the limitations of text search?", "What is an operator class?")
REQUESTS = ("Write a poem about the sea.", "Tell me a story about a fox and a bear.", "What should I cook tonight?",
            "Explain how rivers form.", "Give me advice on learning the piano.", "Describe a market in the morning.")


def grounded_prompts(db):
    """Questions about some pages, each with the two chunks of them that are nearest to it."""
    db.execute("CREATE TEMP TABLE pieces AS SELECT chunk, embed(chunk, 'serving_minilm') AS embedding "
               "FROM unnest(%s::text[]) AS page, chunk(rag.html_to_text(page), 512, 51)", [pages()])
    prompts = []
    for question in QUESTIONS:
        found = db.execute("SELECT chunk FROM pieces ORDER BY embedding <=> embed(%s, 'serving_minilm') LIMIT 2",
                           [question]).fetchall()
        context = "\n\n".join(row[0] for row in reversed(found))
        prompts.append("Answer the question in one or two sentences, using only the context.\n\n"
                       f"Context: {context}\n\nQuestion: {question}\nAnswer:")
    return prompts


def speculation(db, report):
    """Decoding with and without guesses, of answers that quote their context and of others."""
    def answers(prompts, temperature, options):
        return [db.execute(ANSWER, [p, temperature, 96, options]).fetchone()[0] for p in prompts]

    for name, prompts, temperature, target in (("answers of RAG", grounded_prompts(db), 0, 1.2),
                                               ("chat, temperature 0.7", REQUESTS, 0.7, 0.97)):
        # the prompts are in the cache from now on: decoding is what is timed
        texts = answers(prompts, temperature, "{}")
        if texts != answers(prompts, temperature, '{"speculation": false}'):
            raise SystemExit("bench: guesses have changed a text")
        tokens = db.execute("SELECT sum(token_count(t, 'serving_smollm')) FROM unnest(%s::text[]) t",
                            [texts]).fetchone()[0]
        report.in_turn("serving", f"guesses: {name}", "tokens/s",
                       lambda: float(tokens) / harness.seconds(lambda: answers(prompts, temperature, "{}")),
                       lambda: float(tokens) / harness.seconds(
                           lambda: answers(prompts, temperature, '{"speculation": false}')),
                       "ourselves without", "", target, rounds=5)


def cut(db, text, tokens):
    """The longest beginning of `text` of at most so many tokens."""
    low, high = 0, tokens * 8
    while low < high:
        middle = (low + high + 1) // 2
        count = db.execute("SELECT token_count(%s, 'serving_smollm')", [text[:middle]]).fetchone()[0]
        low, high = (middle, high) if count <= tokens else (low, middle - 1)
    return text[:low]


GENERATE = ("SELECT generate(%s, model => 'serving_smollm', temperature => 0, max_tokens => %s, "
            "options => '{\"raw\": true}')")


def generate_together(connections, prompts, tokens):
    return together([lambda c=c, p=p: c.execute(GENERATE, [p, tokens]).fetchone()
                     for c, p in zip(connections, prompts)])


def computed_tokens(db):
    return db.execute("SELECT prompt_tokens FROM rag.stat_model WHERE name = 'serving_smollm'").fetchone()[0]


def llama_server(threads):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = os.path.join(MODELS, "smollm2.gguf")
    params.n_parallel = SESSIONS
    params.n_ctx = SESSIONS * 1024
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.verbosity = -1
    return xllamacpp.Server(params)


def shared_prefix(db, report, threads):
    """Sixteen requests arrive together: with nothing in common, and with a long common beginning."""
    body = " ".join(real_chunks(db, 300))
    connections = [connect() for _ in range(SESSIONS)]
    server = llama_server(threads)

    def peer(prompts, tokens):
        return together([lambda p=p: server.handle_completions(
            dict(prompt=p, max_tokens=tokens, temperature=0, ignore_eos=True), lambda _: False)
            for p in prompts])

    def question(i):
        return cut(db, f"\nQuestion {i}: what is said of {body[i * 900:i * 900 + 60]}",
                   QUESTION_TOKENS - 4) + "?\nAnswer:"

    def prompts(number, common):
        start = number * 3000 % max(len(body) - 60000, 1)
        prefix = cut(db, f"{number} " + body[start:], PREFIX_TOKENS)
        return [(prefix if common else cut(db, f"{number}.{i} " + body[start + i * 2500:],
                                           PREFIX_TOKENS)) + question(i)
                for i in range(SESSIONS)]

    harness.require_quiet()
    rounds = []
    for n in range(6):
        apart, common = prompts(3 * n, False), prompts(3 * n + 1, True)
        distinct = sum(db.execute("SELECT token_count(%s, 'serving_smollm')", [t]).fetchone()[0]
                       for t in [common[0]] + [p[len(os.path.commonprefix(common)):]
                                               for p in common[1:]])
        unshared = generate_together(connections, apart, 1)
        before = computed_tokens(db)
        shared = generate_together(connections, common, 1)
        computed = (computed_tokens(db) - before) / distinct
        rounds.append((unshared / shared, computed,
                       generate_together(connections, prompts(3 * n + 2, True), 16)))
    gain, computed, ours = np.median(np.array(rounds[1:]), axis=0)
    # new prompts each time: all that is cold is the cache of prefixes
    theirs = min(peer(prompts(n, True), 16) for n in (21, 22))
    report.add("serving", f"{SESSIONS} first tokens, prefix shared", "per second", SESSIONS * gain,
               SESSIONS, "ourselves, nothing shared", "", 8.0)
    report.add("serving", "prompt tokens not computed twice", "share", 1 / computed, 1.0,
               "each distinct token once", "", 1 / 1.1)
    report.add("serving", f"{SESSIONS} cold RAG requests, 16 tokens each", "requests/s",
               SESSIONS / ours, SESSIONS / theirs, "llama.cpp's server (xllamacpp)",
               version("xllamacpp"), 3.0)
    for c in connections:
        c.close()


class Stream:
    """A session that streams one story after the other; its tokens' times are kept."""

    def __init__(self):
        self.gaps = []      # (when the later token came, seconds since the one before)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        connection = connect()
        for number in itertools.count():
            last = None
            with connection.transaction():
                connection.execute(
                    "DECLARE stream NO SCROLL CURSOR FOR SELECT generate_stream(%s, "
                    "model => 'serving_smollm', temperature => 0, max_tokens => 400, "
                    "options => '{\"raw\": true}')",
                    [f"Story {number}: once upon a time there was a king who"])
                while connection.execute("FETCH 1 FROM stream").fetchone():
                    now = time.perf_counter()
                    if last:
                        self.gaps.append((now, now - last))
                    last = now
                    if self.stop.is_set():
                        return

    def slowest(self, begin, end):
        """The 99th percentile of what lies between, in seconds."""
        return np.percentile([gap for now, gap in list(self.gaps) if begin <= now - gap and now <= end], 99)


def stalls(db, report, rounds=5, idle_seconds=3):
    """The slowest tokens of a stream, with nobody else about and beside a prompt, in turn."""
    body = " ".join(real_chunks(db, 300))
    other = connect()
    prompts = [cut(db, f"{n} " + body[n * 9000:], PROMPT_TOKENS) for n in range(rounds + 1)]
    harness.require_quiet()
    stream = Stream()
    slowest = []
    try:
        for prompt in prompts:
            start = time.perf_counter()
            time.sleep(idle_seconds)
            middle = time.perf_counter()
            other.execute(GENERATE, [prompt, 1])
            end = time.perf_counter()
            slowest.append((1 / stream.slowest(middle, end), 1 / stream.slowest(start, middle)))
    finally:
        stream.stop.set()
        stream.thread.join()
    # what a prompt costs beside a stream was not known before the first
    report.add_median("serving", f"p99 of a token beside {PROMPT_TOKENS} prompt tokens", "tokens/s",
                      slowest[1:], "ourselves, idle", "", 1 / 3)
    other.close()


def run(db, report):
    report.isa = db.execute("SELECT rag.engine_statistics() ->> 'device'").fetchone()[0]
    print("engine:", report.isa)
    threads = int(os.environ.get("BENCH_THREADS", len(os.sched_getaffinity(0))))
    load_models(db)
    parts = {
        "weights": lambda: engine.weights(report, threads),
        "embedding": lambda: engine.embedding(report, threads),
        "chunks": lambda: mixed_chunks(db, report, threads),
        "sessions": lambda: (embedding_sessions(db, report), round_trip(db, report)),
        "speculation": lambda: speculation(db, report),
        "prefix": lambda: shared_prefix(db, report, threads),
        "stalls": lambda: stalls(db, report),
    }
    chosen = os.environ.get("PART", ",".join(parts)).split(",")
    for part in chosen:
        if part not in parts:
            raise SystemExit(f"bench: there is no part \"{part}\"; the parts are: {' '.join(parts)}")
    for part in chosen:
        parts[part]()
