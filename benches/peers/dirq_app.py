#!/usr/bin/env python3
"""A consumer and a producer for a dirq queue. It has neither events nor a daemon of its own: it is asked every 10 ms.

    dirq_app.py consume ROOT PROGRAM LANES
    dirq_app.py produce ROOT
"""

import subprocess
import sys
import threading
import time

from dirq.QueueSimple import QueueSimple

what, root = sys.argv[1], sys.argv[2]


def consume(program, lanes):
    free = threading.Semaphore(lanes)
    dirq = QueueSimple(root + "/dirq")

    def work(name, task):
        subprocess.run([program, task], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        dirq.remove(name)
        free.release()

    while True:
        name = dirq.first()
        while name:
            free.acquire()
            if dirq.lock(name):
                task = dirq.get(name).decode()
                threading.Thread(target=work, args=(name, task), daemon=True).start()
            else:
                free.release()
            name = dirq.next()
        time.sleep(0.01)


def produce():
    dirq = QueueSimple(root + "/dirq")
    for name in sys.stdin:
        before = time.time_ns()
        dirq.add(name.strip().encode())
        print(before, flush=True)


produce() if what == "produce" else consume(sys.argv[3], int(sys.argv[4]))
