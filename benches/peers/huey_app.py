"""huey with its file storage. As a module it is what the consumer imports; as a program, a producer that reads names.

The consumer is run with threads and asked every ten milliseconds, which is faster than it comes.
"""

import os
import subprocess
import sys
import time

from huey import FileHuey

huey = FileHuey("bench", path=os.environ["BENCH_ROOT"] + "/huey", results=False)


@huey.task()
def run(name):
    subprocess.run([os.environ["BENCH_PROGRAM"], name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def produce():
    for name in sys.stdin:
        before = time.time_ns()
        run(name.strip())
        print(before, flush=True)


if __name__ == "__main__":
    # Under the name that the consumer knows the task by.
    import huey_app

    huey_app.produce()
