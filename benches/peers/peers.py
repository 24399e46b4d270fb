"""Programs that take tasks one by one and run a program for each: how they are started, stopped and given a task.

Each says who is durable, and why it cannot be had where it cannot. None of them knows what is measured.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
CGROUPS = next((line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2"), None)


class Peer:
    """One program, in a folder and a control group of its own."""

    name = "?"
    # What an answered submit survives, in a few words; checked in sources and with strace.
    durable = "no"
    # How many tasks may wait; what keeps a process for each takes no hundred thousand.
    most = 10**9
    # The largest backlog that it is given, and why no larger one.
    patience, why = 10**9, ""
    # The share of drops and of tasks that it is given, where each costs it a good part of a second.
    share = 1
    # Whether it runs as many at a time as it is told.
    bounded = True
    # Whether a daemon of its own can be killed.
    daemon = True

    def __init__(self, bench):
        self.bench, self.root, self.processes, self.producer = bench, None, [], None

    def lacks(self):
        """What it needs and has not, in a word; nothing where it can be run."""
        return None

    def prepare(self, root):
        """Lays out an empty root."""
        self.root = root
        os.makedirs(root + "/said")
        self.log = root + "/said/log"
        open(self.log, "w").close()
        self.group = None
        if CGROUPS and os.access(CGROUPS, os.W_OK):
            self.group = f"{CGROUPS}/compare-{os.getpid()}-{os.path.basename(root)}"
            os.makedirs(self.group, exist_ok=True)

    def environment(self):
        return {
            "PATH": os.environ["PATH"],
            "HOME": self.root,
            "BENCH_LOG": self.log,
            "BENCH_ROOT": self.root,
            "BENCH_PROGRAM": self.bench.program,
            "PYTHONPATH": HERE,
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def popen(self, command, **more):
        if self.group:
            command = ["bash", "-c", 'echo $$ >"$0"/cgroup.procs; exec "$@"', self.group, *command]
        return subprocess.Popen(
            command,
            env=self.environment(),
            cwd=self.root,
            stderr=open(self.root + "/err", "a"),
            start_new_session=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **more},
        )

    def run(self, command):
        if self.popen(command).wait():
            raise RuntimeError(f"{self.name}: {command} failed; see {self.root}/err")

    def start(self, lanes):
        raise NotImplementedError

    def ready(self):
        """Waits until it takes tasks."""
        time.sleep(1)

    def submit(self, name):
        """Gives it a task; the moment before, in ns."""
        raise NotImplementedError

    def produce(self, command, names):
        """Asks a producer that lives as long as the measurement; the moments before each, in ns."""
        if not self.producer:
            self.producer = self.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        before = []
        for name in names:
            self.producer.stdin.write(name + "\n")
            before.append(int(self.producer.stdout.readline()))
        return before

    def submit_all(self, names):
        for name in names:
            self.submit(name)

    def main_pid(self):
        return self.processes[0].pid

    def kill(self):
        """`kill -9` of the daemon alone."""
        os.kill(self.main_pid(), signal.SIGKILL)
        self.processes.pop(0).wait()

    def after_crash(self):
        """What its manual says one has to do after its daemon was killed, besides starting it."""

    def recorded(self, name):
        """Whether it says of this task that it ended well; `None` where it keeps no such record."""
        return None

    def pids(self):
        if not self.group:
            return [it.pid for it in self.processes]
        return [int(pid) for pid in open(self.group + "/cgroup.procs")]

    def stop(self):
        for process in [self.producer, *self.processes]:
            if process and process.poll() is None:
                process.kill()
                process.wait()
        self.processes, self.producer = [], None
        self.clean()
        if self.group:
            with open(self.group + "/cgroup.kill", "w") as kill:
                kill.write("1")
            while open(self.group + "/cgroup.procs").read():
                time.sleep(0.05)
            os.rmdir(self.group)
        shutil.rmtree(self.root, ignore_errors=True)

    def clean(self):
        """What is left behind outside of its root."""


class Folder(Peer):
    """One that takes files from a folder."""

    pending, completed = "pending", "completed"

    def prepare(self, root):
        super().prepare(root)
        for folder in ("pending", "active", "completed"):
            os.makedirs(f"{root}/{folder}", exist_ok=True)

    def submit(self, name):
        beside = f"{self.root}/.{name}"
        with open(beside, "w") as file:
            file.write('{"prompt":"say hello"}')
        before = time.time_ns()
        os.rename(beside, f"{self.root}/{self.pending}/{name}.json")
        return before

    def recorded(self, name):
        return os.path.exists(f"{self.root}/{self.completed}/{name}.json")


class Raw(Folder):
    name = "raw loop"

    def start(self, lanes):
        self.processes.append(self.popen([self.bench.raw, "serve", self.root, self.bench.program, str(lanes)]))


class Ours(Folder):
    """This program."""

    pending, completed = "tasks/marie/pending", "tasks/marie/completed"
    durability = "full"

    def prepare(self, root):
        Peer.prepare(self, root)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for folder in ("home", "log.d", self.pending, self.completed):
            os.makedirs(f"{root}/{folder}")

    def start(self, lanes):
        words = {
            "worker": "marie",
            "root": self.root,
            "log-dir": self.root + "/log.d",
            "log-level": "error",
            "metrics-addr": f"127.0.0.1:{self.port}",
            "api-requests-per-minute": 0,
            "claude-bin": self.bench.program,
            "agent-env": "BENCH_LOG",
            "agent-writes": self.root + "/said",
            "durability": self.durability,
            "concurrency": lanes,
        }
        self.processes.append(self.popen([self.bench.watcher, *(f"--{it}={value}" for it, value in words.items())]))


    def scrape(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            return answer.read()


class Full(Ours):
    name = "agent-worker"
    durable = "claim, start and outcome"


class Unsynced(Ours):
    name = "agent-worker, `--durability none`"
    durability = "none"


class Pywatch(Folder):
    name = "watchdog, 60 lines of Python"

    def lacks(self):
        return self.bench.lacks_module("watchdog")

    def start(self, lanes):
        self.processes.append(
            self.popen([self.bench.python, HERE + "/pywatch.py", self.root, self.bench.program, str(lanes)])
        )


class Huey(Peer):
    name = "huey, files, 10 ms"
    patience, why = 10_000, "it lists and sorts the whole folder for each task: 10 tasks/s with 100,000, when that was tried"

    def lacks(self):
        return self.bench.lacks_module("huey")

    def start(self, lanes):
        consumer = [self.bench.python, "-m", "huey.bin.huey_consumer", "huey_app.huey"]
        self.processes.append(self.popen([*consumer, "-w", str(lanes), "-d", "0.01", "-m", "0.01", "-n"]))

    def submit(self, name):
        return self.produce([self.bench.python, HERE + "/huey_app.py"], [name])[0]


class Celery(Peer):
    name = "celery, files, 10 ms, late acknowledgement"
    patience, why = 10_000, "it lists and sorts the whole folder for each task: 1.2 tasks/s with 100,000, when that was tried"

    def lacks(self):
        return self.bench.lacks_module("celery")

    def start(self, lanes):
        worker = [self.bench.python, "-m", "celery", "-A", "celery_app", "worker", "-c", str(lanes)]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR"]
        self.processes.append(self.popen([*worker, *quiet]))

    def ready(self):
        time.sleep(4)

    def submit(self, name):
        return self.produce([self.bench.python, HERE + "/celery_app.py"], [name])[0]


class Dirq(Peer):
    name = "dirq, 10 ms"

    def lacks(self):
        return self.bench.lacks_module("dirq")

    def start(self, lanes):
        app = [self.bench.python, HERE + "/dirq_app.py"]
        self.processes.append(self.popen([*app, "consume", self.root, self.bench.program, str(lanes)]))

    def submit(self, name):
        return self.produce([self.bench.python, HERE + "/dirq_app.py", "produce", self.root], [name])[0]


class Commanded(Peer):
    """One that is given a task by a command, which is part of what is measured. A shell that lives gives it."""

    most = 1000

    def submit(self, name):
        shell = 'while read -r name; do at=$EPOCHREALTIME; "$@" "$name" >/dev/null; echo "${at/[.,]/}000"; done'
        return self.produce(["bash", "-c", shell, "submit", *self.command()], [name])[0]


class Tsp(Commanded):
    name = "task-spooler"

    def lacks(self):
        return self.bench.lacks_command("tsp")

    def environment(self):
        return {**super().environment(), "TS_SOCKET": self.root + "/socket", "TS_MAXCONN": "1000", "TMPDIR": self.root}

    def start(self, lanes):
        self.run(["tsp", "-S", str(lanes)])

    def command(self):
        return ["tsp", "-n", self.bench.program]

    def main_pid(self):
        return min(pid for pid in self.pids() if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "tsp")

    def kill(self):
        os.kill(self.main_pid(), signal.SIGKILL)


class Nq(Commanded):
    name = "nq"
    durable = "the job's log, before its start"
    daemon = False

    def lacks(self):
        return self.bench.lacks_command("nq")

    def environment(self):
        return {**super().environment(), "NQDIR": self.root + "/nq"}

    def prepare(self, root):
        super().prepare(root)
        os.makedirs(root + "/nq")

    def start(self, lanes):
        """Each job is a process of its own that waits for the one before."""

    def command(self):
        return ["nq", "-q", self.bench.program]


class Pueue(Commanded):
    name = "pueue"
    patience, why = 100, "it writes its whole state anew for each task that is added or started"
    share = 0.1

    def lacks(self):
        return self.bench.lacks_command("pueued")

    def prepare(self, root):
        super().prepare(root)
        self.config = root + "/pueue.yml"
        with open(self.config, "w") as config:
            config.write(
                f"shared:\n  pueue_directory: {root}/pueue\n  runtime_directory: {root}\n"
                f"  use_unix_socket: true\n  unix_socket_path: {root}/socket\n"
                "client: {}\ndaemon: {}\nprofiles: {}\n"
            )

    def pueue(self, *words):
        return ["pueue", "-c", self.config, *words]

    def start(self, lanes):
        self.processes.append(self.popen(["pueued", "-c", self.config]))
        time.sleep(1)
        self.run(self.pueue("parallel", str(lanes)))

    def command(self):
        return self.pueue("add", "--", self.bench.program)

    def after_crash(self):
        time.sleep(1)
        self.run(self.pueue("start"))


class Incron(Folder):
    name = "incron"
    bounded = False
    # It hears events, and of what lay there before it came there are none.
    most = 0

    def lacks(self):
        return self.bench.lacks_command("incrond") or (os.geteuid() and "root") or None

    def prepare(self, root):
        super().prepare(root)
        os.makedirs(root + "/tables")
        with open(root + "/tables/bench", "w") as table:
            table.write(f"{root}/pending IN_MOVED_TO {root}/run $#\n")
        with open(root + "/run", "w") as run:
            run.write(f'#!/bin/sh\nBENCH_LOG={self.log} exec {self.bench.program} "${{1%.json}}" >/dev/null\n')
        os.chmod(root + "/run", 0o755)
        with open(root + "/incron.conf", "w") as config:
            config.write(
                f"system_table_dir = {root}/tables\nuser_table_dir = {root}/none\nlockfile_dir = {root}\n"
                f"allowed_users = {root}/allow\ndenied_users = {root}/deny\n"
            )
        os.makedirs(root + "/none")

    def start(self, lanes):
        self.processes.append(self.popen(["incrond", "-n", "-f", self.root + "/incron.conf"]))


ALL = [Raw, Unsynced, Full, Pywatch, Dirq, Tsp, Nq, Huey, Celery, Pueue, Incron]
# What is measured in every round.
OURS = [Raw, Unsynced, Full]
