#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every stack of a service that waits in every way, compared frame by frame with gdb's.

Usage: waits_test.py AGENT HOST THREADS DUMPS
The dumps are taken first, so that gdb, which interrupts every wait, cannot spoil the count of interrupted ones.
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

WALK = """
import gdb
gdb.execute("set pagination off")
gdb.execute("set backtrace past-main on")
gdb.execute("set backtrace past-entry off")
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frame, pcs = gdb.newest_frame(), []
    while frame is not None and len(pcs) < 200:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):  # neither is on the stack
            pcs.append("%x" % frame.pc())
        try:
            frame = frame.older()
        except gdb.error:
            break
    print("STACK", thread.ptid[1], *pcs)
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return answer.read()


def wait_for_agent(port):
    end = time.monotonic() + 15
    while time.monotonic() < end:
        try:
            return get(port, "/healthz")
        except OSError:
            time.sleep(0.1)
    sys.exit("the agent does not answer")


def stacks_of_gdb(pid, directory):
    script = os.path.join(directory, "walk.py")
    with open(script, "w", encoding="ascii") as file:
        file.write(WALK)
    done = subprocess.run(["gdb", "-q", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-p", str(pid), "-x",
                           script], capture_output=True, text=True, timeout=300, check=False)
    stacks = {}
    for line in done.stdout.splitlines():
        words = line.split()
        if words[:1] == ["STACK"]:
            stacks[int(words[1])] = [int(pc, 16) for pc in words[2:]]
    if not stacks:
        sys.exit("gdb saw nothing: " + done.stderr[-2000:])
    return stacks


def stacks_of_sonde(dump):
    stacks, told = {}, {}
    for group in dump["groups"]:
        for thread in group["threads"]:
            stacks[thread["tid"]] = [int(frame["address"], 16) for frame in group["frames"]]
            told[thread["tid"]] = (thread, group)
    return stacks, told


def describe(dump_group, thread):
    frames = " < ".join(frame["text"] for frame in dump_group["frames"])
    return f"{thread['name']} {dump_group['state']} {dump_group['place']} {thread['wait']}: {frames} {dump_group['problem']}"


def compare(ours, told, theirs):
    """Tids whose stacks differ, with both."""
    faults = []
    for tid, stack in ours.items():
        expected = theirs.get(tid)
        if expected is None:
            faults.append(f"tid {tid} is unknown to gdb")
        elif stack != expected:
            faults.append(f"tid {tid} {describe(told[tid][1], told[tid][0])}\n   sonde {[hex(x) for x in stack]}\n"
                          f"   gdb   {[hex(x) for x in expected]}")
    return faults


EXPECTED = {  # by thread name: state, place, what the wait says
    "Futex": ("waiting", "futex", r"^futex 0x"),
    "Cond": ("waiting", "futex", r"^condition variable 0x"),
    "StdCond": ("waiting", "futex", r"^condition variable 0x"),
    "Mutex": ("waiting", "futex", r"^mutex 0x\w+ held by tid MAIN "),
    "WriteLock": ("waiting", "futex", r"^read-write lock 0x\w+ written by tid MAIN "),
    "ReadLock": ("waiting", "futex", r"^read-write lock 0x\w+ written by tid MAIN "),
    "Sem": ("waiting", "futex", r"^semaphore 0x"),
    "SemTimed": ("waiting", "futex", r"^semaphore 0x"),
    "Epoll": ("waiting", "epoll_wait", r"^fd \d+: anon_inode:\[eventpoll\]$"),
    "Poll": ("waiting", "poll", r"^fd \d+: pipe:\[\d+\]$"),
    "Ppoll": ("waiting", "ppoll", r"^fd \d+: pipe:\[\d+\]$"),
    "Select": ("waiting", "pselect6", r"^fd \d+: pipe:\[\d+\]$"),
    "ReadPipe": ("waiting", "read", r"^fd \d+: pipe:\[\d+\]$"),
    "Recv": ("waiting", "recvfrom", r"^fd \d+: unix socket$"),
    "Accept": ("waiting", "accept", r"^fd \d+: unix socket @sonde-waits-\d+\S* listening$"),
    "Sleep": ("waiting", "clock_nanosleep", r"^for 16 m 40 s$"),
    "Join": ("waiting", "futex", r"^end of tid \d+ \(Sleep\)$"),
    "Flock": ("waiting", "flock", r"^fd \d+: /tmp/sonde-waits-"),
    "Sigwait": ("waiting", "rt_sigtimedwait", r"^$"),
    "Message": ("waiting", "msgrcv", r"^IPC id \d+$"),
    "Barrier": ("waiting", "futex", r"^barrier 0x"),
    "Waitpid": ("waiting", "wait4", r"^process \d+$"),
    "Vfork": ("uninterruptible", "vfork", r"^$"),
}


def check_words(told, pid):
    faults, seen = [], set()
    for thread, group in told.values():
        expected = EXPECTED.get(thread["name"])
        if expected is None:
            continue
        seen.add(thread["name"])
        state, place, wait = expected
        right = group["state"] == state and group["place"] == place and \
            re.search(wait.replace("MAIN", str(pid)), thread["wait"])
        if not right or f"Wait{thread['name']}()" not in "".join(f["function"] for f in group["frames"]):
            faults.append("expected " + str(expected) + ", got " + describe(group, thread))
        if thread.get("wait_seconds", -1) < 0.1:
            faults.append("no time in this state: " + describe(group, thread))
    return faults + [f"no thread {name}" for name in set(EXPECTED) - seen - {"Vfork"}]


def main():
    agent, host, threads, dumps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        environment = dict(os.environ, LD_PRELOAD=agent, SONDE_TARGET=os.path.basename(host), SONDE_RUN_DIR=directory,
                           SONDE_LISTEN=f"127.0.0.1:{port}")
        with_gdb = sys.argv[5:] != ["--no-gdb"]
        process = subprocess.Popen([host, str(threads)] + ["stoppable"] * with_gdb, env=environment, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline()
            if line != "ready\n":
                sys.exit("the host did not become ready: " + line)
            wait_for_agent(port)
            time.sleep(4)  # a few sweeps, so that the time in a state is known
            costs = []
            for _ in range(dumps):
                dump = json.loads(get(port, "/debug/sonde/threads"))
                costs.append(dump["agent_cpu_ms"])
            costs.sort()
            print(f"{dump['threads']} threads: {costs[len(costs) // 2]:.1f} ms of agent CPU a dump")
            theirs = stacks_of_gdb(process.pid, directory) if with_gdb else None
            ours, told = stacks_of_sonde(dump)
            faults = compare(ours, told, theirs) if theirs else []
            faults += check_words(told, process.pid)
            if len(ours) != threads + 1:
                faults.append(f"{len(ours)} threads in the dump, expected {threads + 1}")
            inferred = sum(any(f.get("inferred") for f in g["frames"]) for _, g in told.values())
            print(f"{inferred} stacks with inferred frames")
            if theirs:  # gdb's stop ends waits by itself; the count is of no use then
                process.stdin.write("\n")
                process.stdin.flush()
                process.wait(timeout=20)
            else:
                rest = process.communicate("\n", timeout=20)[0]
                print(rest.strip())
                if "eintr 0\n" not in rest:
                    faults.append("waits were interrupted")
        finally:
            process.kill()
            process.wait()
    print("\n".join(faults[:30]))
    print(f"{len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
