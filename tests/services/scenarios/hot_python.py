# SPDX-License-Identifier: Apache-2.0
"""Who burns the core? One busy thread among fifty of a python program: named while it runs and after it ended."""
import re

from hot_check import PAUSE_S, SENSITIVE, SONDE, check_finding, check_hot, check_later, favour

TARGET, NEEDS = "python3.11", ["python3"]
NEEDS = [*NEEDS, *([] if SONDE else ["sonde"])]

WORK = r"""
import ctypes, threading, time
def name_me(name): ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
def idle(stop, n):
    name_me(f"idle-{n}")
    while not stop.wait(0.5): sum(range(50))
def busy(end):
    name_me("busy-one"); print("busy", threading.get_native_id(), flush=True)
    while time.time() < end: sum(i * i for i in range(1000))
stop = threading.Event()
idlers = [threading.Thread(target=idle, args=(stop, n)) for n in range(49)]
[t.start() for t in idlers]
time.sleep(1.5)
one = threading.Thread(target=busy, args=(time.time() + 16,)); one.start(); one.join()
print("over", flush=True)
time.sleep(25 + PAUSE); stop.set()
[t.join() for t in idlers]; print("ended", threading.active_count())
""".replace("PAUSE", str(PAUSE_S))


def run(lab):
    process = lab.start(["python3", lab.write("work.py", WORK)], **SENSITIVE)
    favour(process)
    lab.wait_for(lambda: "busy" in lab.log("python3"))
    tid = int(re.search(r"busy (\d+)", lab.log("python3"))[1])
    lab.wait_for(lambda: False, 6)
    functions = ["_PyEval_EvalFrameDefault"]
    check_hot(lab, "while it runs", tid, functions, least=0.7, name="busy-one")
    check_finding(lab, "while it runs", process.pid, tid, functions[0], True, least=0.7)
    lab.note(f"over {lab.wait_for(lambda: 'over' in lab.log('python3'))}")
    check_hot(lab, "after the thread ended", tid, functions, least=0.7, name="busy-one")
    check_later(lab, "after the thread ended", process.pid, tid, functions[0], least=0.7)
    lab.note(f"ended with {process.wait(60 + PAUSE_S)}")
    lab.note(re.sub(r"busy \d+", "busy", lab.log("python3")))
