#!/usr/bin/env python3
"""Gives the same work to this program, to others of its kind and to a raw loop, in turns, and writes what came out.

Started by scripts/compare.sh, which builds what is needed and makes a journalled file system. Every figure is a median
over the rounds; a ratio is taken within its round, to the raw loop. What a task's program says in one file, when it began
and when it ended, is all that is gone by: no program is believed about itself, except about what it has on record.
"""

import argparse
import importlib.util
import os
import shutil
import statistics
import sys
import time

import peers
import tables


class Bench:
    """What all of them are measured with."""

    def __init__(self, arguments):
        self.program, self.raw, self.watcher = arguments.program, arguments.raw, arguments.watcher
        self.python, self.dir = sys.executable, arguments.dir

    def lacks_module(self, name):
        return None if importlib.util.find_spec(name) else f"Python module {name}"

    def lacks_command(self, name):
        return None if shutil.which(name) else name


class Told:
    """What the tasks have said so far."""

    def __init__(self, peer):
        self.file, self.rest = open(peer.log), ""
        self.began, self.ended = [], []

    def look(self):
        *lines, self.rest = (self.rest + self.file.read()).split("\n")
        for line in lines:
            word, name, at = line.split()
            (self.began if word == "began" else self.ended).append((name, int(at)))
        return self

    def until(self, fact, seconds, pause=0.001):
        """Whether it came true in time."""
        end = time.monotonic() + seconds
        while not fact(self.look()):
            if time.monotonic() > end:
                return False
            time.sleep(pause)
        return True


def names(what, count):
    return [f"{what}-{n}" for n in range(count)]


def cpu(peer):
    """CPU seconds of all that it started, and of what of it lives: its dispatcher."""
    whole = None
    if peer.group:
        usage = dict(line.split() for line in open(peer.group + "/cpu.stat"))
        whole = int(usage["usage_usec"]) / 1e6
    own = 0
    for pid in peer.pids():
        try:
            stat = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
        except OSError:
            continue
        own += (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return whole, own


def pss(peer):
    """Proportional memory of all its processes, in MiB."""
    kib = 0
    for pid in peer.pids():
        try:
            kib += next(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
    return kib / 1024


def wakes(peer):
    count = 0
    for pid in peer.pids():
        for thread in os.listdir(f"/proc/{pid}/task"):
            status = open(f"/proc/{pid}/task/{thread}/status").read()
            count += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return count


def begun(peer, lanes):
    peer.start(lanes)
    peer.ready()
    return Told(peer)


def latency(peer, size):
    """From the drop to the first instruction of its program, one at a time; ms."""
    told, all_ms = begun(peer, 5), []
    for n, name in enumerate(names("latency", int(size.latency * peer.share) + 3)):
        before = peer.submit(name)
        if not told.until(lambda it: len(it.began) > n, 20, 0.0005):
            return {}
        all_ms.append((told.began[n][1] - before) / 1e6)
        time.sleep(0.02)
    all_ms = sorted(all_ms[3:])
    return {"p50": all_ms[len(all_ms) // 2], "p99": all_ms[len(all_ms) * 99 // 100]}


def throughput(peer, lanes, count):
    """Tasks a second of a backlog, and what each costs: from the moment at which some have begun until all have."""
    todo = names("load", count)
    if peer.most >= 10**6:
        peer.submit_all(todo)
        peer.start(lanes)
        told = Told(peer)
    else:
        told = begun(peer, lanes)
        peer.submit_all(todo[: peer.most] if peer.most else todo)
        todo = todo[: peer.most] if peer.most else todo
    if not told.until(lambda it: it.began, 60):
        return {}
    (whole, own), first = cpu(peer), len(told.look().began)
    if not told.until(lambda it: len(it.began) >= len(todo), 60 + count / 20, 0.005):
        return {}
    (whole_2, own_2), last = cpu(peer), len(told.began)
    seconds = (told.began[-1][1] - told.began[0][1]) / 1e9
    found = {f"rate_{lanes}": (last - 1) / seconds}
    if lanes == 5 and last - first > last / 2:
        found["dispatcher_ms"] = (own_2 - own) / (last - first) * 1e3
        if whole is not None:
            found["cpu_ms"] = (whole_2 - whole) / (last - first) * 1e3
    return found


def idle(peer, size):
    begun(peer, 5)
    # What the one before left to be written makes who beats wait for the disk, which is no wake-up of his.
    os.sync()
    time.sleep(3)
    (_, own), woken = cpu(peer), wakes(peer)
    time.sleep(size.idle)
    (_, own_2), woken_2 = cpu(peer), wakes(peer)
    return {
        "idle_wakes": (woken_2 - woken) / size.idle,
        "idle_cpu": (own_2 - own) / size.idle * 100,
        "idle_mib": pss(peer),
    }


def scrapes(peer):
    """What a look at its metrics takes, in ms; of twenty in turn."""
    took = []
    for _ in range(20):
        before = time.monotonic()
        peer.scrape()
        took.append((time.monotonic() - before) * 1e3)
    return statistics.median(took)


def backlog(peer, count, sample):
    """How soon it begins with so many that wait, how fast it goes on, what each costs it, how much memory that takes."""
    keeps = peer.most >= 10**6
    if not keeps:
        # Its queue is in memory, or its daemon must be there to take one.
        peer.start(5)
        peer.ready()
    peer.submit_all(names("queued", count))
    # It is started with what waits there, and not while that is still being written.
    os.sync()
    told, started = Told(peer), time.time_ns()
    if keeps:
        peer.start(5)
    if not told.until(lambda it: it.began, 120, 0.005):
        return {}
    # From the tenth part on: the first ones are taken while it still reads the others.
    enough, warm = min(count, sample), min(count, sample) // 10
    told.until(lambda it: len(it.began) >= warm, 30, 0.005)
    (_, own), first = cpu(peer), len(told.began)
    told.until(lambda it: len(it.began) >= enough, 30, 0.005)
    (_, own_2), last = cpu(peer), len(told.began)
    began = told.began[:enough]
    seconds = (began[-1][1] - began[0][1]) / 1e9
    found = {f"drain_{count}": (len(began) - 1) / seconds if seconds else 0, f"mib_{count}": pss(peer)}
    if last > first:
        found[f"each_{count}"] = (own_2 - own) / (last - first) * 1e3
    if keeps:
        found[f"first_{count}"] = (began[0][1] - started) / 1e6
    if hasattr(peer, "scrape"):
        found[f"scrape_{count}"] = scrapes(peer)
    return found


def crash(peer):
    """`kill -9` of its daemon with five that run and a hundred that wait; what became of them after a new start."""
    told, slow, queued = begun(peer, 5), names("slow", 5), names("later", 100)
    peer.submit_all(slow)
    if not told.until(lambda it: len(it.began) >= 5, 20):
        return {}
    peer.submit_all(queued)
    peer.kill()
    killed = time.time_ns()
    peer.start(5)
    peer.after_crash()
    everything = set(slow) | set(queued)
    told.until(lambda it: {name for name, _ in it.began} >= everything, 15, 0.05)
    # Those that ran need their three seconds, and somebody may begin them anew only then.
    told.until(lambda it: False, 6, 0.1)
    count = {}
    for name, _ in told.began:
        count[name] = count.get(name, 0) + 1
    after = [at for name, at in told.began if at > killed]
    once = [name for name in slow if count.get(name) == 1]
    return {
        "lost": sum(name not in count for name in everything),
        "twice": sum(times > 1 for times in count.values()),
        "adopted": sum(peer.recorded(name) is True for name in once),
        "again_ms": (min(after) - killed) / 1e6 if after else None,
    }


def steps(kind, size):
    """What is measured of a program, in this order; each with a root of its own."""
    yield "latency", lambda peer: latency(peer, size)
    for lanes in (1, 5, 32) if kind.bounded else (5,):
        if lanes == 1 or getattr(kind, "name", "") != "nq":
            yield f"{lanes} in flight", lambda peer, lanes=lanes: throughput(peer, lanes, int(size.load * kind.share))
    if kind.daemon:
        yield "idle", lambda peer: idle(peer, size)
    for count in size.backlogs:
        if count <= min(kind.most, kind.patience) and kind.daemon:
            yield f"{count} waiting", lambda peer, count=count: backlog(peer, count, size.sample)
    if kind.daemon and kind.bounded:
        yield "kill -9", crash


def measure(bench, kind, size, only):
    found = {}
    for what, step in steps(kind, size):
        if only and not any(word in what for word in only):
            continue
        peer = kind(bench)
        peer.prepare(f"{bench.dir}/{kind.__name__.lower()}-{time.monotonic_ns()}")
        began = time.monotonic()
        try:
            found.update(step(peer))
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            print(f"  {kind.name}: {what}: {error}", file=sys.stderr)
        finally:
            peer.stop()
        print(f"  {kind.name}: {what}: {time.monotonic() - began:.1f} s", file=sys.stderr)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for word in ("dir", "program", "raw", "watcher"):
        parser.add_argument("--" + word, required=True)
    parser.add_argument("--rounds", type=int, default=4, help="of this program and the raw loop")
    parser.add_argument("--peer-rounds", type=int, default=1, help="those rounds in which all the others are measured too")
    parser.add_argument("--minutes", type=float, default=30, help="no further round begins that would last longer")
    parser.add_argument("--latency", type=int, default=200, help="drops a round")
    parser.add_argument("--load", type=int, default=1000, help="tasks a round at 1, 5 and 32 in flight")
    parser.add_argument("--idle", type=int, default=10, help="seconds")
    parser.add_argument("--backlogs", type=lambda text: [int(it) for it in text.split(",") if it], default="1000,10000,100000")
    parser.add_argument("--sample", type=int, default=2000, help="tasks of a backlog that are worked off")
    parser.add_argument("--peers", type=lambda text: text.split(","), help="only those whose class or name has this")
    parser.add_argument("--only", type=lambda text: text.split(","), help="only steps whose name has this")
    parser.add_argument("--write", action="store_true", help="into README.md and docs/PERFORMANCE.md")
    size = parser.parse_args()
    bench = Bench(size)
    chosen = [
        kind
        for kind in peers.ALL
        if not size.peers or any(it.lower() in (kind.__name__ + kind.name).lower() for it in size.peers)
    ]
    absent = {kind: kind(bench).lacks() for kind in chosen}
    rounds, began, before = [], time.monotonic(), 0
    for n in range(size.rounds):
        # Whoever is first in one round is last in another.
        kinds = [kind for kind in chosen if not absent[kind] and (n < size.peer_rounds or kind in peers.OURS)]
        if not kinds:
            break
        spent = time.monotonic() - began
        if rounds and spent + before > size.minutes * 60:
            print(f"no time for round {n + 1}: {spent:.0f} s are over", file=sys.stderr)
            break
        print(f"round {n + 1} of {size.rounds}", file=sys.stderr)
        kinds = kinds[n % len(kinds) :] + kinds[: n % len(kinds)]
        took, found = {}, {}
        for kind in kinds:
            at = time.monotonic()
            found[kind] = measure(bench, kind, size, size.only)
            took[kind] = time.monotonic() - at
        # A round without the others is as long as its part of this one.
        before = sum(it for kind, it in took.items() if n + 1 < size.peer_rounds or kind in peers.OURS)
        rounds.append(found)
    size.rounds, size.peer_rounds = len(rounds), min(size.peer_rounds, len(rounds))
    print(f"in all {(time.monotonic() - began) / 60:.1f} minutes", file=sys.stderr)
    tables.show(chosen, absent, rounds, size)


if __name__ == "__main__":
    main()
