#!/usr/bin/env python3
"""What people write in an afternoon: a folder that `watchdog` watches, a pool of threads, a rename before and after.

    pywatch.py ROOT PROGRAM LANES

It knows no retry, no lock and no crash: what it finds in active/ at its start it runs again.
"""

import os
import queue
import subprocess
import sys
import threading

from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

root, program, lanes = sys.argv[1], sys.argv[2], int(sys.argv[3])
pending, active, done = (os.path.join(root, it) for it in ("pending", "active", "completed"))
tasks: "queue.Queue[str]" = queue.Queue()
seen = set()
lock = threading.Lock()


def found(path):
    name = os.path.basename(path)
    with lock:
        if not name.endswith(".json") or name in seen:
            return
        seen.add(name)
    tasks.put(name)


class Drops(FileSystemEventHandler):
    def on_created(self, event):
        found(event.src_path)

    def on_moved(self, event):
        found(event.dest_path)


def lane():
    while True:
        name = tasks.get()
        try:
            os.rename(os.path.join(pending, name), os.path.join(active, name))
        except FileNotFoundError:
            continue
        subprocess.run([program, name[:-5]], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.rename(os.path.join(active, name), os.path.join(done, name))
        with lock:
            seen.discard(name)


observer = Observer()
observer.schedule(Drops(), pending)
observer.start()
for name in os.listdir(active):
    os.rename(os.path.join(active, name), os.path.join(pending, name))
for _ in range(lanes):
    threading.Thread(target=lane, daemon=True).start()
for name in sorted(os.listdir(pending)):
    found(name)
observer.join()
