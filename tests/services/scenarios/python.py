# SPDX-License-Identifier: Apache-2.0
"""python3: threads, subprocesses and multiprocessing; then with its own SIGPROF handler, which it leaves to the default."""
TARGET, NEEDS = "python3.11", ["python3"]

WORK = r"""
import hashlib, multiprocessing, os, subprocess, sys, threading, time
def burn(n): return hashlib.sha256(b"x" * n).hexdigest()[:8]
def loop(end):
    while time.time() < end: sum(i * i for i in range(2000))
def main():
    print(burn(10_000_000))
    print(subprocess.run(["/bin/echo", "from a child"], capture_output=True, text=True).stdout.strip())
    with multiprocessing.Pool(2) as pool: print(pool.map(burn, [1, 2, 3]))
    pid = os.fork()
    if pid == 0: os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    threads = [threading.Thread(target=loop, args=(time.time() + float(sys.argv[1]),)) for _ in range(3)]
    [t.start() for t in threads]; [t.join() for t in threads]
    print(threading.active_count(), sorted(os.listdir("/proc/self/fd"))[:3])
if __name__ == "__main__": main()
"""
OWN_HANDLER = r"""
import signal, time
count = 0
def handler(number, frame):
    global count
    count += 1
print(signal.getsignal(signal.SIGPROF) == signal.SIG_DFL)
signal.signal(signal.SIGPROF, handler)
print(signal.setitimer(signal.ITIMER_PROF, 0.01, 0.01))
end = time.process_time() + 1.0
while time.process_time() < end: sum(range(100))
signal.setitimer(signal.ITIMER_PROF, 0)
print("ticks as asked for", 40 <= count <= 170, signal.getsignal(signal.SIGPROF) is handler)
"""


def run(lab):
    for seconds in ("0.5", "6"):
        process = lab.start(["python3", lab.write("work.py", WORK), seconds])
        if seconds == "6":
            lab.wait_for(lambda: False, 2)
            lab.profile(seconds=3, unexplained=0.05)
        lab.note(f"ended with {process.wait(60)}")
    lab.note(lab.log("python3"))
    for _ in range(3):
        done = lab.run(["python3", lab.write("own.py", OWN_HANDLER)], preload=True)
        lab.note(f"own handler: {done.returncode} {done.stdout} {done.stderr}")
