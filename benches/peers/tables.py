"""What was measured, as tables: medians over the rounds, and ratios to the raw loop of the same round."""

import os
import platform
import statistics

import peers

ROOT = os.path.dirname(os.path.dirname(peers.HERE))


class Figures:
    def __init__(self, rounds):
        self.rounds = rounds

    def median(self, kind, key):
        found = [it[kind].get(key) for it in self.rounds if kind in it]
        found = [it for it in found if it is not None]
        return statistics.median(found) if found else None

    def ratio(self, kind, key):
        """To the raw loop, within each round."""
        found = []
        for it in self.rounds:
            one, raw = it.get(kind, {}).get(key), it.get(peers.Raw, {}).get(key)
            if one is not None and raw:
                found.append(one / raw)
        return statistics.median(found) if found else None

    def cell(self, kind, key, digits=1, ratio=False):
        value = self.median(kind, key)
        if value is None:
            return "–"
        text = f"{value:,.{digits}f}"
        times = self.ratio(kind, key) if ratio and kind is not peers.Raw else None
        return f"{text} ({times:.2f})" if times is not None else text


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rows(chosen, absent, cells):
    for kind in chosen:
        if absent[kind]:
            yield [kind.name, f"not to be had: no {absent[kind]}"] + ["–"] * (len(cells) - 1)
        else:
            yield [kind.name] + [cell(kind) for cell in cells]


RATIO, RATE = "times the raw loop's", "of the raw loop's"

# What is aimed at: how it is said, whose figure, which one, whether it is a ratio, the bound, and whether it is an upper one.
TARGETS = [
    ("drop → exec p50, `--durability none`, " + RATIO, peers.Unsynced, "p50", True, 1.3, True),
    ("drop → exec p50, `full`, " + RATIO, peers.Full, "p50", True, 2.2, True),
    ("drop → exec p99, `none`, " + RATIO, peers.Unsynced, "p99", True, 3, True),
    ("drop → exec p99, `full`, " + RATIO, peers.Full, "p99", True, 3, True),
    ("tasks/s, 5 in flight, `none`, " + RATE, peers.Unsynced, "rate_5", True, 0.95, False),
    ("tasks/s, 5 in flight, `full`, " + RATE, peers.Full, "rate_5", True, 0.6, False),
    ("CPU of the daemon a task, `none`, " + RATIO, peers.Unsynced, "dispatcher_ms", True, 1.6, True),
    ("CPU of the daemon a task, `full`, " + RATIO, peers.Full, "dispatcher_ms", True, 1.6, True),
    ("idle, MiB", peers.Full, "idle_mib", False, 8, True),
    ("idle, wake-ups a second", peers.Full, "idle_wakes", False, 2, True),
    ("100,000 wait: first after the start, ms", peers.Full, "first_100000", False, 1000, True),
    ("100,000 wait: MiB", peers.Full, "mib_100000", False, 64, True),
    ("100,000 wait: a scrape, ms", peers.Full, "scrape_100000", False, 5, True),
]


def targets(of):
    """What was aimed at, what came out, and whether that is met."""
    found = [
        (what, bound, is_most, of.ratio(kind, key) if is_ratio else of.median(kind, key))
        for what, kind, key, is_ratio, bound, is_most in TARGETS
    ]
    few, many = (of.median(peers.Full, f"each_{count}") for count in (1000, 100000))
    found.append(("100,000 wait: CPU of a task, times that with 1,000", 1.1, True, many / few if few and many else None))
    for what, bound, is_most, value in found:
        sign = "at most" if is_most else "at least"
        if value is None:
            yield [what, f"{sign} {bound:,}", "–", "not measured"]
        else:
            is_met = value <= bound if is_most else value >= bound
            yield [what, f"{sign} {bound:,}", f"{value:,.2f}", "yes" if is_met else "**no**"]


def show(chosen, absent, rounds, size):
    of = Figures(rounds)

    def cells(*keys):
        return [lambda kind, key=key: of.cell(kind, *key) for key in keys]

    speed = cells(
        ("p50", 2, True), ("p99", 2, True), ("rate_1", 0, True), ("rate_5", 0, True), ("rate_32", 0, True),
        ("cpu_ms", 2, True), ("dispatcher_ms", 2, True),
    )
    rest = cells(("idle_wakes", 1), ("idle_cpu", 2), ("idle_mib", 1))
    for count in size.backlogs:
        rest += cells((f"first_{count}", 0), (f"drain_{count}", 0), (f"mib_{count}", 1))
    fate = cells(("lost", 0), ("twice", 0), ("adopted", 0), ("again_ms", 0)) + [lambda kind: kind.durable]
    heads = ["program", "drop → exec, p50 ms", "p99 ms", "tasks/s, 1 in flight", "5", "32", "CPU ms a task", "of it the dispatcher"]
    waiting = [word for count in size.backlogs for word in (f"{count:,} wait: first after ms", "tasks/s", "MiB")]
    left_out = [f"{kind.name}: {kind.why}." for kind in chosen if kind.why and kind.patience < max(size.backlogs, default=0)]
    blocks = [
        where(size),
        "What is aimed at:",
        table(["target", "bound", "measured", "met"], targets(of)),
        table(heads, rows(chosen, absent, speed)),
        "Idle, and with a backlog:",
        table(["program", "wake-ups/s", "CPU %", "PSS MiB", *waiting], rows(chosen, absent, rest)),
        *(["Backlogs that were not tried. " + " ".join(left_out)] if left_out else []),
        "`kill -9` of the daemon with 5 that run and 100 that wait, then a new start; who fsyncs:",
        table(["program", "lost", "begun twice", "of 5 adopted and filed", "next start after ms", "durable"],
              rows(chosen, absent, fate)),
    ]
    text = "\n\n".join(blocks) + "\n"
    print(text)
    if size.write:
        put("docs/PERFORMANCE.md", text)
        short = cells(("p50", 2, True), ("rate_5", 0, True), ("idle_wakes", 1), ("lost", 0), ("twice", 0), ("adopted", 0))
        head = ["program", "drop → exec, p50 ms", "tasks/s, 5 in flight", "idle wake-ups/s"]
        head += ["`kill -9`: lost of 105", "begun twice", "of 5 adopted", "durable"]
        put("README.md", table(head, rows(chosen, absent, [*short, lambda kind: kind.durable])) + "\n")


def where(size):
    mounts = [line.split()[1:3] for line in open("/proc/mounts")]
    fs = max((it for it in mounts if os.path.realpath(size.dir).startswith(it[0])), key=lambda it: len(it[0]))[1]
    return (
        f"Linux {platform.release()}, {os.cpu_count()} cores, {fs}; medians of {size.rounds} rounds in turns, of the others of "
        f"{size.peer_rounds}; {size.latency} drops and {size.load} tasks each, a tenth for pueue. In parentheses: times the raw loop of the same round."
    )


def put(path, text):
    """Between the two marks in a page."""
    begin, end = "<!-- compare: begin -->\n", "<!-- compare: end -->"
    with open(f"{ROOT}/{path}") as page:
        before, _, rest = page.read().partition(begin)
    _, _, after = rest.partition(end)
    with open(f"{ROOT}/{path}", "w") as page:
        page.write(before + begin + text + end + after)
