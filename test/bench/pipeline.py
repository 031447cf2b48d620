"""The pipeline stage by stage: ours inside PostgreSQL, the peer inside one Python process.

PART=whole measures it as a whole instead, against the packages that are commonly used (whole.py).
"""
import glob
import importlib.metadata
import os

import numpy as np

import harness
import whole

# the pages are few and the first stages fast: so often, in one measurement
REPEAT = 10
MODELS = os.environ["BENCH_MODELS"]
PROMPT_TOKENS = 512
QUESTION = "What kinds of index does PostgreSQL provide?"


def version(package):
    return importlib.metadata.version(package)


def pages():
    names = sorted(glob.glob(os.path.join(os.environ["BENCH_DOCUMENTS"], "indexes-*.html")) +
                   glob.glob(os.path.join(os.environ["BENCH_DOCUMENTS"], "textsearch-*.html")))
    return [open(n, encoding="utf-8").read() for n in names]


def html_stage(db, report, documents):
    from bs4 import BeautifulSoup

    db.execute("CREATE TABLE bench_pages AS SELECT unnest(%s::text[]) AS html", [documents])
    report.paired(
        "pipeline", "HTML to text", sum(map(len, documents)) / 1e6, "MB/s",
        lambda: db.execute("SELECT sum(length(rag.html_to_text(html))) FROM bench_pages").fetchone(),
        lambda: [BeautifulSoup(d, "html.parser").get_text() for d in documents],
        "beautifulsoup4", version("beautifulsoup4"), 1.0)


def split_stage(db, report):
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    db.execute("CREATE TABLE bench_texts AS SELECT rag.html_to_text(html) AS body FROM bench_pages")
    texts = [r[0] for r in db.execute("SELECT body FROM bench_texts").fetchall()]
    splitter = RecursiveCharacterTextSplitter(chunk_size=512, chunk_overlap=51)
    report.paired(
        "pipeline", "split into chunks", REPEAT * sum(map(len, texts)) / 1e6, "MB/s",
        lambda: db.execute("SELECT count(*) FROM generate_series(1, %s), bench_texts, chunk(body, 512, 51)",
                           [REPEAT]).fetchone(),
        lambda: [splitter.split_text(t) for _ in range(REPEAT) for t in texts],
        "langchain-text-splitters", version("langchain-text-splitters"), 1.0)
    return [r[0] for r in db.execute("SELECT chunk FROM bench_texts, chunk(body, 512, 51)")]


def embed_stage(db, report, chunks, threads):
    from onnx_bert import Embedder

    peer = Embedder(os.path.join(MODELS, "minilm"), os.environ["BENCH_CACHE"], threads)
    # a chunk may be longer than the model takes: the peer cuts it, too
    db.execute("SELECT rag.load_model('minilm', %s, options => '{\"overflow\": \"truncate\"}')",
               [os.path.join(MODELS, "minilm")])
    db.execute("SET rag.embedding_model = 'minilm'")
    ours = db.execute("SELECT embed(%s::text[])::text[]", [chunks[:64]]).fetchone()[0]
    ours = np.array([[float(x) for x in v.strip("[]").split(",")] for v in ours])
    agreement = (ours * np.array(peer.embed(chunks[:64]))).sum(1).min()
    if agreement < 0.9999:
        raise SystemExit(f"bench: our embeddings and onnxruntime's differ (cosine {agreement:.5f})")
    name, number = "onnxruntime fp32", version("onnxruntime")
    few = chunks[:128]
    report.paired("pipeline", "embed, one text a call", len(few), "texts/s",
                  lambda: db.execute("SELECT count(embed(t, 'minilm')) FROM unnest(%s::text[]) t", [few]).fetchone(),
                  lambda: [peer.embed([t]) for t in few], name, number, 0.6)
    report.paired("pipeline", "embed, all texts at once", len(chunks), "texts/s",
                  lambda: db.execute("SELECT cardinality(embed(%s::text[]))", [chunks]).fetchone(),
                  lambda: peer.embed(chunks), name, number, 0.6)


def search_stage(db, report, chunks):
    """The pipeline's top 5 of a question: our index against an exact scan of the matrix in numpy."""
    db.execute("CREATE TABLE bench_chunks (chunk text, embedding vector(384))")
    db.execute("INSERT INTO bench_chunks SELECT t, e FROM unnest(%s::text[], embed(%s::text[])) u(t, e)",
               [chunks, chunks])
    db.execute("CREATE INDEX ON bench_chunks USING hnsw (embedding vector_cosine_ops)")
    rows = db.execute("SELECT embedding::text FROM bench_chunks").fetchall()
    matrix = np.array([[float(x) for x in r[0].strip("[]").split(",")] for r in rows], np.float32)
    query = db.execute("SELECT embed(%s)::text", [QUESTION]).fetchone()[0]
    vector = np.array([float(x) for x in query.strip("[]").split(",")], np.float32)
    n = 200

    def ours():
        for _ in range(n):
            db.execute("SELECT chunk FROM bench_chunks ORDER BY embedding <=> %s::vector LIMIT 5",
                       [query]).fetchall()

    def peer():
        for _ in range(n):
            scores = matrix @ vector
            best = np.argpartition(-scores, 5)[:5]
            [chunks[i] for i in best]

    report.paired("pipeline", "search, top 5 (with SQL round trip)", n, "queries/s", ours, peer,
                  "numpy exact, in process", version("numpy"), None)


def generate_stage(db, report, chunks, threads):
    import xllamacpp

    file = os.path.join(MODELS, "smollm2.gguf")
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.n_ctx = 2048
    params.n_parallel = 1
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.warmup = True
    params.verbosity = -1
    server = xllamacpp.Server(params)
    db.execute("SELECT rag.load_model('smollm', %s, options => '{\"max_model_len\": 2048}')", [file])
    db.execute("SET rag.generation_model = 'smollm'")
    name, number = "llama.cpp (xllamacpp)", version("xllamacpp")
    rounds = []

    def long_prompt(i):
        text = f"{i} " + " ".join(chunks[i * 7 % len(chunks):] + chunks)
        low, high = 0, 4000
        while low < high:
            middle = (low + high + 1) // 2
            tokens = db.execute("SELECT token_count(%s, 'smollm')", [text[:middle]]).fetchone()[0]
            low, high = (middle, high) if tokens <= PROMPT_TOKENS else (low, middle - 1)
        return text[:low]

    def ours(prompt, tokens):
        return harness.seconds(lambda: db.execute(
            "SELECT generate(%s, temperature => 0, max_tokens => %s, options => '{\"raw\": true}')",
            [prompt, tokens]).fetchone())

    def peer(prompt, tokens):
        answers = []
        server.handle_completions(dict(prompt=prompt, max_tokens=tokens, temperature=0,
                                       cache_prompt=False, ignore_eos=True),
                                  lambda answer: answers.append(answer) and False)
        return answers[-1]["timings"]

    harness.require_quiet()
    for n in range(1, 5):
        # each prompt is new, so that no prefix cache helps; the story never ends within 96 tokens
        prefill = ours(long_prompt(n), 1)
        timing = peer(long_prompt(n + 100), 2)
        story = f"Story {n}: once upon a time there was a king who"
        decode = ours(story, 97) - ours(story + " lived", 1)
        timing2 = peer(f"Story {n + 50}: once upon a time there was a king who", 96)
        rounds.append((PROMPT_TOKENS / prefill, timing["prompt_per_second"], 96 / decode,
                       timing2["predicted_per_second"]))
    medians = np.median(np.array(rounds[1:]), axis=0)
    report.add("pipeline", f"prompt of {PROMPT_TOKENS} tokens, Q4_1", "tokens/s", medians[0], medians[1],
               name, number, 0.7)
    report.add("pipeline", "decode, one sequence, Q4_1", "tokens/s", medians[2], medians[3], name,
               number, 0.7)


def run(db, report):
    report.isa = db.execute("SELECT rag.engine_statistics() ->> 'device'").fetchone()[0]
    print("engine:", report.isa)
    if os.environ.get("PART") == "whole":
        whole.run(report)
        return
    threads = len(os.sched_getaffinity(0))
    documents = pages()
    html_stage(db, report, documents)
    chunks = split_stage(db, report)
    embed_stage(db, report, chunks, threads)
    search_stage(db, report, chunks)
    generate_stage(db, report, chunks, threads)
