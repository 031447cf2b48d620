"""The whole pipeline, from a folder of pages to an answer: the demo against a Python script.

Ours is what "make demo" runs once it is built: a new server, the extension, every stage. The peer
is python_pipeline.py, whose packages are in an environment of their own: they take gigabytes.
Memory is the largest sum, over all processes of a side, of their proportional set sizes. Installed
is what "make install" and pip put there; neither PostgreSQL and Python themselves, nor the models.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import harness

SUITE, PEER = "pipeline", "sentence-transformers, Milvus Lite, llama.cpp"
QUESTION = "What kinds of index does PostgreSQL provide?"


def family(root, marker):
    """The processes below a process, and below those that have the marker among their arguments."""
    parents, roots = {}, {root}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                parents[int(name)] = int(file.read().rsplit(")", 1)[1].split()[1])
            with open(f"/proc/{name}/cmdline", encoding="utf-8", errors="replace") as file:
                if marker in file.read():
                    roots.add(int(name))
        except (FileNotFoundError, ProcessLookupError):
            pass

    def belongs(process):
        while process in parents and process not in roots:
            process = parents[process]
        return process in roots

    return [p for p in parents if belongs(p)]


def memory(processes):
    total = 0
    for process in processes:
        try:
            with open(f"/proc/{process}/smaps_rollup", encoding="utf-8") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass
    return total / 1024


def measure(command, **environment):
    """(seconds, peak MiB) of a command that works in a temporary folder of its own."""
    with tempfile.TemporaryDirectory(prefix="rag-whole-") as place:
        os.chmod(place, 0o755)
        start = time.perf_counter()
        process = subprocess.Popen(command, env=dict(os.environ, TMPDIR=place, **environment), text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output = []
        reader = threading.Thread(target=lambda: output.extend(process.communicate()))
        reader.start()
        peak = 0
        while reader.is_alive():
            peak = max(peak, memory(family(process.pid, place)))
            reader.join(0.1)
        elapsed = time.perf_counter() - start
    if process.returncode != 0:
        sys.exit(f"bench: {command[0]} failed:\n{output[0][-2000:]}\n{output[1][-2000:]}")
    return elapsed, peak


def size(folder):
    return sum(os.lstat(os.path.join(path, name)).st_size
               for path, _, names in os.walk(folder) for name in names) / 2**20


def environment():
    """The Python of the peer; it is made once, in the cache folder."""
    name = "test/bench/requirements-whole.txt"
    venv = os.environ.get("BENCH_WHOLE") or os.path.join(os.environ["BENCH_CACHE"], "bench-whole")
    if not os.path.exists(os.path.join(venv, "complete")):
        print(f"installing {name} in {venv}", flush=True)
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run(["python3", "-m", "venv", venv], check=True)
        subprocess.run([f"{venv}/bin/pip", "install", "--quiet", "--disable-pip-version-check",
                        "--only-binary", ":all:", "-r", name], check=True)
        open(os.path.join(venv, "complete"), "w", encoding="utf-8").close()
    return venv


def run(report):
    venv = environment()
    models = os.environ["BENCH_MODELS"]
    threads = str(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as pages, tempfile.TemporaryDirectory() as stage:
        names = subprocess.run(["test/demo/demo", "pages"], check=True, text=True, stdout=subprocess.PIPE).stdout
        for name in names.split():
            shutil.copy(os.path.join(os.environ["BENCH_DOCUMENTS"], name), pages)
        subprocess.run(["make", "-s", "install", f"DESTDIR={stage}"], check=True, stdout=subprocess.DEVNULL)
        installed = size(stage), size(os.path.join(venv, "lib"))
        peer = [f"{venv}/bin/python", "test/bench/python_pipeline.py", pages, f"{models}/minilm",
                f"{models}/smollm2.gguf", QUESTION, threads]
        harness.require_quiet()
        measure(peer)       # the packages' files come into the system's cache, their bytecode is written
        ours, theirs = (measure(command, Q=QUESTION, RAG_TEST_MODELS=models)
                        for command in (["test/demo/demo", "start"], peer))
    report.add(SUITE, "the whole pipeline", "runs/hour", 3600 / ours[0], 3600 / theirs[0], PEER, "", 3.0)
    report.add(SUITE, "its memory (less is better)", "MiB", ours[1], theirs[1], PEER, "", 0.1)
    report.add(SUITE, "what is installed (less is better)", "MiB", *installed, PEER, "", 0.01)
