"""What every suite shares: a quiet machine, paired timing, the table and bench.json."""
import json
import os
import time


class LoadedMachine(Exception):
    pass


def cpu_times():
    with open("/proc/stat") as f:
        values = [int(v) for v in f.readline().split()[1:]]
    idle = values[3] + values[4]
    return idle, sum(values)


def require_quiet(limit=0.05, seconds=2.0, tries=5):
    """Refuse to measure while others use more than `limit` of the machine."""
    if os.environ.get("BENCH_ANYWAY"):
        return
    for attempt in range(tries):
        idle, total = cpu_times()
        time.sleep(seconds)
        idle, total = (b - a for a, b in zip((idle, total), cpu_times()))
        busy = 1 - idle / max(total, 1)
        if busy <= limit:
            return
    raise LoadedMachine(
        f"the machine is busy ({busy:.0%} of its CPU time is used by others): "
        "timings would mean nothing; set BENCH_ANYWAY=1 to see them nevertheless")


def seconds(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class Report:
    """Rows of {suite, name, unit, ours, peer, peer_name, peer_version, ratio, target, isa}."""

    def __init__(self, isa):
        self.isa = isa
        self.rows = []

    def paired(self, suite, name, work, unit, ours, peer, peer_name, peer_version, target,
               rounds=3):
        """Run `ours` and `peer` in turn; each does `work` units. More units a second is better."""
        ours()
        peer()
        self.in_turn(suite, name, unit, lambda: work / seconds(ours), lambda: work / seconds(peer),
                     peer_name, peer_version, target, rounds)

    def in_turn(self, suite, name, unit, ours, peer, peer_name, peer_version, target, rounds=3):
        """Ask `ours` and `peer` in turn for their rates; the round with the median ratio counts."""
        require_quiet()
        self.add_median(suite, name, unit, [(ours(), peer()) for _ in range(rounds)],
                        peer_name, peer_version, target)

    def add_median(self, suite, name, unit, rounds, peer_name, peer_version, target):
        """Of several (ours, peer) that with the median ratio."""
        ours, peer = sorted(rounds, key=lambda r: r[0] / r[1])[len(rounds) // 2]
        self.add(suite, name, unit, ours, peer, peer_name, peer_version, target)

    def add(self, suite, name, unit, ours, peer, peer_name, peer_version, target):
        row = dict(suite=suite, name=name, unit=unit, ours=ours, peer=peer, peer_name=peer_name,
                   peer_version=peer_version, ratio=ours / peer, target=target, isa=self.isa)
        self.rows.append(row)
        print(self.line(row), flush=True)

    @staticmethod
    def head():
        return (f"{'stage':46} {'ratio':>7} {'target':>7}  {'ours':>10} {'peer':>10} "
                f"{'unit':12} peer")

    @staticmethod
    def line(row):
        target = "" if row["target"] is None else f"{row['target']:.2f}"
        return (f"{row['name']:46} {row['ratio']:6.2f}x {target:>7}  {row['ours']:10.1f} "
                f"{row['peer']:10.1f} {row['unit']:12} {row['peer_name']} {row['peer_version']}")

    def write(self, path):
        with open(path, "w") as f:
            json.dump(self.rows, f, indent=1)
            f.write("\n")
