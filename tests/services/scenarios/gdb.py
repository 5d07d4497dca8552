# SPDX-License-Identifier: Apache-2.0
"""gdb: attaches to a burning and to a waiting process, runs a program, and leaves them as they were."""
import re
import signal

TARGET, NEEDS = "python3.11", ["gdb", "python3"]
BURN = "import threading, time\nt = threading.Thread(target=time.sleep, args=(100,), daemon=True); t.start()\n" \
       "print('up', flush=True)\nwhile True: sum(range(1000))"


def run(lab):
    process = lab.start(["python3", "-c", BURN], ready=None)
    lab.wait_for(lambda: "up" in lab.log("python3"))
    for _ in range(3):
        done = lab.run(["gdb", "-nx", "-batch", "-p", str(process.pid), "-ex", "bt 1", "-ex", "detach"], timeout=60)
        lab.note(f"gdb {done.returncode}, detached {'detached' in done.stdout}")
        lab.note(f"still runs {process.poll() is None}")
    lab.end(process, signal.SIGKILL)
    done = lab.run(["gdb", "-nx", "-batch", "-ex", "run", "--args", "/usr/bin/python3",
                    lab.write("sum.py", "print(sum(i for i in range(6000000)))")], preload=True, timeout=60)
    kept = [line for line in done.stdout.splitlines() if "Inferior" in line or line.isdigit() or "received" in line]
    lab.note([re.sub(r"process \d+", "process", line) for line in kept])
