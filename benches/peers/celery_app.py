"""celery on kombu's file system transport. As a module it is what the worker imports; as a program, a producer.

It is asked every ten milliseconds, which is faster than it comes, and acknowledges late, which is safer than it comes.
"""

import os
import subprocess
import sys
import time

from celery import Celery

folder = os.environ["BENCH_ROOT"] + "/celery"
os.makedirs(folder, exist_ok=True)
app = Celery("celery_app", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": folder,
        "data_folder_out": folder,
        "control_folder": folder + "-control",
        "polling_interval": 0.01,
    },
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)


@app.task(name="run")
def run(name):
    subprocess.run([os.environ["BENCH_PROGRAM"], name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    for line in sys.stdin:
        before = time.time_ns()
        app.send_task("run", [line.strip()])
        print(before, flush=True)
