"""Vector search against pgvector, on one server, at equal recall; PART=a,b chooses parts, SETS=a,b sets.

build       CREATE INDEX, serial and with two workers, with all and with a quarter of the memory it needs
queries     throughput at equal recall@10: of two clients, of one (which on a virtual machine waits for its processor to
            wake up, twice a query), the backend's processor time; SVG of the curves of two clients
filter      1% and 10% of the rows pass, recall at least .99
exact       without an index
insert      rows a second into the built index, each a transaction, fsync on; WAL per row
vacuum      after deleting a tenth
buffers     an index four times larger than shared_buffers, in the system's cache and out of it

SCALE=small takes a fifth of the synthetic rows. The tables' rows are in the same order on both sides, m = 16,
ef_construction = 64. Where less is better (sizes), the row says so.
"""
import os
import re
import statistics
import struct
import subprocess
import threading

import numpy as np

import harness
import vector_curves
import vector_data
import vector_library
from vector_server import Server

SUITE = "vector"
PARTS = ["build", "queries", "filter", "exact", "insert", "vacuum", "buffers"]
OURS, PEER = "rag", "vector"
PEER_NAME, PEER_VERSION = "pgvector", ""
RECALLS = [0.975, 0.985, 0.99, 0.995]
EF = [10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 1000]
SEARCH = "SELECT id FROM t ORDER BY v <=> $1 LIMIT 10"
INDEX = "CREATE INDEX t_v ON t USING hnsw (v vector_cosine_ops) WITH (m = 16, ef_construction = 64)"
# What pgvector needs to find enough rows; and so that it uses the index for vectors
FILTER = ["SET hnsw.iterative_scan = relaxed_order", "SET hnsw.max_scan_tuples = 100000"]
FILTER_BY_INDEX = [*FILTER, "SET enable_sort = off", "SET enable_bitmapscan = off"]
INSERTS = 1000
ROUNDS = 5


def client_program(folder):
    include, library = (subprocess.run(["pg_config", f"--{d}dir"], check=True, text=True, stdout=subprocess.PIPE)
                        .stdout.strip() for d in ("include", "lib"))
    path = os.path.join(folder, "vector_client")
    subprocess.run([os.environ.get("RAG_CC", "gcc"), "-std=c11", "-O2", "-D_GNU_SOURCE", f"-I{include}",
                    "test/bench/vector_client.c", "-o", path, f"-L{library}", "-lpq"], check=True)
    return path


class Bench:
    def __init__(self, report, server, data):
        self.report, self.server, self.data = report, server, data
        self.client = client_program(server.dir)
        self.databases = {}
        self.built = None
        self.queries = os.path.join(server.dir, "queries")
        with open(self.queries, "wb") as file:
            file.write(struct.pack("ii", *data.queries.shape) + data.queries.astype("<f4").tobytes())

    def add(self, name, unit, ours, peer, target, less=False):
        name = f"{self.data.name}: {name}" + (" (less is better)" if less else "")
        self.report.add(SUITE, name, unit, ours, peer, PEER_NAME, PEER_VERSION, target)

    def library(self):
        """hnswlib's index of the set, and the seconds that building it took."""
        if self.built is None:
            self.built = vector_library.build(self.data)
        return self.built

    def against_library(self, name, unit, ours, peer):
        if vector_library.hnswlib:
            self.report.add(SUITE, f"{self.data.name}: {name}, {vector_library.NAME} in memory", unit, ours, peer(),
                            vector_library.NAME, "", None)

    def both(self, action):
        """The action on each side, ours first; a pair."""
        return tuple(action(self.databases[side]) for side in (OURS, PEER))

    def load(self):
        global PEER_VERSION
        with self.server.connect("postgres") as db:
            for side in (OURS, PEER):
                db.execute(f"CREATE DATABASE {side}_{self.data.name}")
        for side in (OURS, PEER):
            db = self.databases[side] = self.server.connect(f"{side}_{self.data.name}")
            db.execute(f"CREATE EXTENSION {side}")
            db.execute(f"CREATE TABLE t (id int, v vector({self.data.dimensions}))")
            self.copy(db, range(len(self.data.rows)), self.data.rows)
            db.execute("VACUUM ANALYZE t")
        PEER_VERSION = self.databases[PEER].execute(
            "SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()[0]

    @staticmethod
    def copy(db, numbers, rows):
        with db.cursor() as cursor, cursor.copy("COPY t FROM STDIN (FORMAT binary)") as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0))
            for number, row in zip(numbers, rows):
                copy.write(struct.pack("!hii", 2, 4, number) + struct.pack("!iHH", 4 + 4 * len(row), len(row), 0) +
                           row.astype(">f4").tobytes())
            copy.write(struct.pack("!h", -1))

    def drop(self):
        for side, db in self.databases.items():
            name = db.info.dbname
            db.close()
            with self.server.connect("postgres") as admin:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    # ---- build ----

    def create(self, db, memory, workers):
        db.execute("DROP INDEX IF EXISTS t_v")
        db.execute(f"SET maintenance_work_mem = '{memory}kB'")
        db.execute(f"SET max_parallel_maintenance_workers = {workers}")
        db.execute(f"ALTER TABLE t SET (parallel_workers = {workers})")
        db.execute("CHECKPOINT")
        return harness.seconds(lambda: db.execute(INDEX))

    def needed_memory(self, db):
        """kB, by what the side's own notice says of when the graph no longer fits."""
        notices = []
        db.add_notice_handler(lambda d: notices.append(d.message_primary))
        self.create(db, 8192, 0)
        after = [int(m.group(1)) for m in (re.search(r"after (\d+) tuples", n or "") for n in notices) if m]
        return 8192 * len(self.data.rows) // after[0] if after else 8192

    def build(self):
        plenty = 4 << 20
        harness.require_quiet()
        rows = len(self.data.rows)
        for workers, name in ((1, "build, one worker and the leader"), (0, "build, serial")):
            ours, peer = self.both(lambda db: self.create(db, plenty, workers))
            self.add(name, "rows/s", rows / ours, rows / peer, 3.0)
        full = ours, peer
        self.against_library("build, serial", "rows/s", rows / ours, lambda: rows / self.library()[1])
        ours, peer = self.both(lambda db: db.execute("SELECT pg_relation_size('t_v')").fetchone()[0] / 2**20)
        self.add("size of the index", "MiB", ours, peer, 0.35 if self.data.dimensions == 1024 else None, less=True)
        if self.data.name == "text":
            quarter = self.both(lambda db: self.create(db, max(self.needed_memory(db) // 4, 1024), 0))
            self.add("build with 1/4 of the memory, against all", "times", quarter[0] / full[0], quarter[1] / full[1],
                     None, less=True)
            self.both(lambda db: self.create(db, plenty, 0))

    def ensure_index(self):
        for db in self.databases.values():
            if db.execute("SELECT to_regclass('t_v') IS NULL").fetchone()[0]:
                self.create(db, 4 << 20, 1)

    # ---- queries ----

    def run_client(self, side, settings, sql=SEARCH, rounds=ROUNDS, truth=None):
        """(recall, wall seconds a query, processor seconds a query)"""
        lines = subprocess.run(
            [self.client, self.server.connstr(f"{side}_{self.data.name}"), self.queries, sql, str(rounds), *settings],
            check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
        found = [set(map(int, line.split())) for line in lines[:-1]]
        hits = sum(len(f & t) for f, t in zip(found, truth or self.data.truth))
        _, wall, _, cpu = lines[-1].split()
        return hits / (vector_data.NEAREST * len(found)), float(wall) / 1e9, float(cpu) / 1e9

    def curve(self):
        """{side: [(recall, {name: queries a second})]}, the sides in turn."""
        points = {OURS: [], PEER: []}
        done = set()
        for ef in EF:
            for side in points:
                if side not in done:
                    recall, rates = self.rates(side, ["SET enable_seqscan = off", f"SET hnsw.ef_search = {ef}"])
                    points[side].append((recall, rates))
                    if recall > 0.9985:
                        done.add(side)
        return points

    def rates(self, side, settings):
        recall, wall, cpu = self.run_client(side, settings)
        return recall, {"two clients": self.clients(side, settings, 2), "one client": 1 / wall,
                        "one client, backend CPU": 1 / cpu}

    def report_equal(self, name, curves, target, unit="queries/s"):
        for recall in RECALLS:
            ours, peer = (vector_curves.at_recall(curves[side], recall) for side in (OURS, PEER))
            if ours and peer:
                self.add(f"{name}, recall {recall}", unit, ours, peer, target)

    def search(self, panels):
        self.ensure_index()
        harness.require_quiet()
        points = self.curve()
        for name in points[OURS][0][1]:
            curves = {side: [(recall, rates[name]) for recall, rates in ps] for side, ps in points.items()}
            self.report_equal(name, curves, 4.0)
            panels.setdefault(self.data.name, {"rag": curves[OURS], "pgvector": curves[PEER]})
        if vector_library.hnswlib:
            self.search_library(panels[self.data.name])

    def search_library(self, panel):
        index = self.library()[0]
        curve = [vector_library.point(index, self.data, ef, vector_data.NEAREST, ROUNDS) for ef in EF]
        for recall in RECALLS:
            ours, peer = (vector_curves.at_recall(c, recall) for c in (panel["rag"], curve))
            if ours and peer:
                self.against_library(f"two clients, recall {recall}", "queries/s", ours, lambda: peer)
        panel[vector_library.NAME] = curve

    def clients(self, side, settings, count):
        """Queries a second of all of them together."""
        walls = []

        def run():
            walls.append(self.run_client(side, settings)[1])

        threads = [threading.Thread(target=run) for _ in range(count)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return count / statistics.mean(walls)

    def filter(self):
        self.ensure_index()
        harness.require_quiet()
        random = np.random.default_rng(7)
        kinds = random.integers(0, 100, len(self.data.rows))
        for db in self.databases.values():
            db.execute("CREATE TABLE kinds (id int, kind int)")
            with db.cursor() as cursor, cursor.copy("COPY kinds FROM STDIN") as copy:
                for i, kind in enumerate(kinds):
                    copy.write_row((i, int(kind)))
            db.execute("ALTER TABLE t ADD kind int")
            db.execute("UPDATE t SET kind = k.kind FROM kinds k WHERE k.id = t.id")
            db.execute("VACUUM FULL t")
            db.execute("CREATE INDEX t_kind ON t (kind)")
            db.execute("VACUUM ANALYZE t")
        for percent, target in ((1, 10.0), (10, None)):
            among = np.flatnonzero(kinds < percent)
            truth = vector_data.nearest(self.data.rows, self.data.queries, among)
            sql = f"SELECT id FROM t WHERE kind < {percent} ORDER BY v <=> $1 LIMIT 10"
            ours, by_index, by_plan = (self.filtered(side, settings, sql, truth) for side, settings in
                                       ((OURS, []), (PEER, FILTER_BY_INDEX), (PEER, FILTER)))
            for name, peer, goal in (("its hnsw index", by_index, target), ("the plan it chooses", by_plan, None)):
                if ours and peer:
                    self.add(f"{percent}% pass the filter, recall >= .99, against {name}", "queries/s", ours, peer, goal)

    def filtered(self, side, settings, sql, truth):
        """The rate at the first ef that reaches recall .99, or None."""
        for ef in EF:
            recall, wall, _ = self.run_client(side, [*settings, f"SET hnsw.ef_search = {ef}"], sql, 1, truth)
            if recall >= 0.99:
                return 1 / wall
        return None

    def exact(self):
        harness.require_quiet()
        rates = [1 / self.run_client(side, ["SET enable_indexscan = off", "SET max_parallel_workers_per_gather = 0"],
                                     rounds=1)[1] for side in (OURS, PEER)]
        self.add("exact, without an index", "queries/s", *rates, 2.0)

    # ---- changes ----

    def insert_rows(self, db, seed):
        """(rows a second, kB of WAL a row), each row a transaction"""
        random = np.random.default_rng(seed)
        numbers = random.integers(0, len(self.data.rows), INSERTS)
        noise = random.normal(size=(INSERTS, self.data.dimensions)) * 0.002
        texts = ["[" + ",".join(f"{x:.6g}" for x in row) + "]"
                 for row in vector_data.unit(self.data.rows[numbers] + noise)]
        before = db.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]
        seconds = harness.seconds(lambda: [
            db.execute("INSERT INTO t (id, v) VALUES (%s, %s::vector)", (-1 - i, v), prepare=True)
            for i, v in enumerate(texts)])
        wal = db.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", [before]).fetchone()[0]
        return INSERTS / seconds, float(wal) / 1024 / INSERTS

    def insert(self):
        self.ensure_index()
        harness.require_quiet()
        self.both(lambda db: db.execute("CHECKPOINT"))
        (_, our_first), (_, peer_first) = self.both(lambda db: self.insert_rows(db, 3))
        # without the images of pages that a checkpoint makes necessary
        self.both(lambda db: db.execute("ALTER SYSTEM SET full_page_writes = off"))
        self.both(lambda db: db.execute("SELECT pg_reload_conf()"))
        (ours, our_wal), (peer, peer_wal) = self.both(lambda db: self.insert_rows(db, 4))
        self.both(lambda db: db.execute("ALTER SYSTEM RESET full_page_writes"))
        self.both(lambda db: db.execute("SELECT pg_reload_conf()"))
        self.add("insert, fsync on", "rows/s", ours, peer, 4.0)
        self.add("WAL a row", "kB", our_wal, peer_wal, 0.33, less=True)
        self.add("WAL a row, right after a checkpoint", "kB", our_first, peer_first, 0.33, less=True)

    def delete_and_vacuum(self, db):
        db.execute("DELETE FROM t WHERE id % 10 = 3")
        db.execute("SET maintenance_work_mem = '1GB'")
        return harness.seconds(lambda: db.execute("VACUUM (PARALLEL 0) t"))

    def vacuum(self):
        self.ensure_index()
        harness.require_quiet()
        ours, peer = self.both(self.delete_and_vacuum)
        rows = len(self.data.rows) / 10
        self.add("vacuum after deleting 10%", "rows/s", rows / ours, rows / peer, 10.0)

    def buffers(self):
        """shared_buffers are a quarter of pgvector's index, for both."""
        self.ensure_index()
        settings = {side: ["SET enable_seqscan = off", f"SET hnsw.ef_search = {self.least_ef(side, 0.985)}"]
                    for side in (OURS, PEER)}
        size = self.databases[PEER].execute("SELECT pg_relation_size('t_v')").fetchone()[0]
        for db in self.databases.values():
            db.execute("CHECKPOINT")
            db.close()
        self.server.restart("-c", f"shared_buffers={size // 4 // 8192}")
        try:
            harness.require_quiet()
            walls = [self.run_client(side, settings[side])[1] for side in (OURS, PEER)]
            self.add("shared_buffers 1/4 of the index, recall >= .985", "queries/s", *(1 / w for w in walls), 4.0)
            cold = [self.cold(side, settings[side]) for side in (OURS, PEER)]
            self.add("... and out of the system's cache", "queries/s", *(1 / w for w in cold), 4.0)
        finally:
            self.server.restart()
            for side in self.databases:
                self.databases[side] = self.server.connect(f"{side}_{self.data.name}")

    def least_ef(self, side, recall):
        for ef in EF:
            if self.run_client(side, ["SET enable_seqscan = off", f"SET hnsw.ef_search = {ef}"], rounds=0)[0] >= recall:
                return ef
        return EF[-1]

    def cold(self, side, settings):
        with self.server.connect(f"{side}_{self.data.name}") as db:
            oid = db.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()[0]
        self.server.restart("-c", "shared_buffers=16MB")
        folder = f"{self.server.dir}/data/base/{oid}"
        for name in os.listdir(folder):
            file = os.open(os.path.join(folder, name), os.O_RDONLY)
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)
        return self.run_client(side, settings, rounds=0)[1]


def chosen(variable, names):
    return [n for n in names if n in os.environ.get(variable, ",".join(names)).split(",")]


def run(connection, report):
    report.isa = connection.execute("SELECT rag.engine_statistics() ->> 'device'").fetchone()[0]
    panels = {}
    sets = [vector_data.load(name, connection) for name in chosen("SETS", vector_data.NAMES)]
    with Server() as server:
        for data in sets:
            bench = Bench(report, server, data)
            bench.load()
            for part in chosen("PART", PARTS):
                if part == "queries":
                    bench.search(panels)
                else:
                    getattr(bench, part)()
            bench.drop()
    if panels:
        vector_curves.draw(panels, "test/bench/vector.svg")
