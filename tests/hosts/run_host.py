#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a host program bare and under an agent and compares everything that can be observed.

The two runs get the same fresh directory, network namespace and environment. Compared are stdout, stderr,
exit status, processes left behind, files left behind and sockets left listening. Exit 0: the same;
1: different; 77: the case says that it cannot run here.
"""
import argparse
import ctypes
import difflib
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, fields

SKIPPED = 77
CLONE_NEWNET, CLONE_NEWIPC, PR_SET_CHILD_SUBREAPER = 0x40000000, 0x08000000, 36
SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class Outcome:
    stdout: str
    stderr: str
    status: str
    processes: str
    files: str
    listeners: str


def mode_environment(mode, program):
    """What a mode adds to the environment of the run under the agent."""
    target = {"SONDE_TARGET": program, "HOST_SETTLE_MS": "1000"}
    return {
        "plain": {},
        "off": {"SONDE_ENABLE": "off"},
        "target": target,
        "target1000": {**target, "SONDE_CPU_HZ": "1000"},
        "targetlocks": {**target, "SONDE_LOCKS": "on"},
        "targetheap": {**target, "SONDE_HEAP_INTERVAL_BYTES": "64"},
    }[mode]


def isolate_network():
    """Gives this process its own loopback, so that ports are free and runs do not meet; needs root.

    Its own System V IPC, too: what the crash guard remembers of one run must not switch off the agent of the next.
    """
    if LIBC.unshare(CLONE_NEWNET | CLONE_NEWIPC) != 0:
        return
    with socket.socket() as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP_RUNNING))


def listeners():
    lines = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}") as table:
            lines += [f"{name} {row.split()[1]}" for row in table if row.split()[3] == "0A"]
    return "\n".join(sorted(lines))


def reap_left_behind():
    """Names and ends the processes that outlived the host; they became our children."""
    names = []
    deadline = time.monotonic() + 3  # daemons of a host may still be on their way out
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0 and time.monotonic() > deadline:
            names += end_children()
        elif pid == 0:
            time.sleep(0.01)
    return "\n".join(sorted(names))


def end_children():
    names = []
    with open(f"/proc/self/task/{os.getpid()}/children") as children:
        for pid in map(int, children.read().split()):
            with open(f"/proc/{pid}/comm") as comm:
                names.append(comm.read().strip())
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return names


def files_under(directory):
    return "\n".join(sorted(os.path.relpath(os.path.join(base, name), directory)
                            for base, _, names in os.walk(directory) for name in names))


def run(command, extra_environment, scratch, timeout_s):
    directory = tempfile.mkdtemp(dir=scratch)
    os.chmod(directory, 0o777)
    environment = {"PATH": os.environ["PATH"], "HOME": directory, "TMPDIR": directory, "LC_ALL": "C"}
    environment.update(extra_environment)
    host = subprocess.Popen(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        stdout, stderr = host.communicate(timeout=timeout_s)
        status = str(host.returncode)
    except subprocess.TimeoutExpired:
        os.killpg(host.pid, signal.SIGKILL)
        stdout, stderr = host.communicate()
        status = f"hung: ended after {timeout_s} s"
    left = reap_left_behind()
    return Outcome(stdout.decode(errors="replace"), stderr.decode(errors="replace"), status, left,
                   files_under(directory), listeners())


def differences(bare, agent):
    lines = []
    for field in fields(Outcome):
        one, two = getattr(bare, field.name), getattr(agent, field.name)
        if one != two:
            lines += difflib.unified_diff(one.splitlines(), two.splitlines(), f"{field.name} bare",
                                          f"{field.name} under the agent", lineterm="", n=2)
    return lines


def compare(arguments, scratch):
    command = [arguments.host, arguments.case]
    # The rule is told to both runs: the named target may have one thread of the agent.
    rules = {"HOST_AGENT_THREAD": "1"} if arguments.mode.startswith("target") else {}
    bare = run(command, rules, scratch, arguments.timeout)
    if bare.status == str(SKIPPED):
        print(bare.stdout)
        return SKIPPED, []
    if "FAILED" in bare.stdout or bare.status.startswith("hung") or "unknown case or role" in bare.stderr:
        return 1, [f"the bare run itself is wrong, status {bare.status}:", bare.stdout, bare.stderr]
    run_directory = os.path.join(scratch, "run")
    os.makedirs(run_directory, exist_ok=True)
    os.chmod(run_directory, 0o777)
    environment = {"LD_PRELOAD": arguments.agent, "SONDE_RUN_DIR": run_directory, **rules}
    environment.update(mode_environment(arguments.mode, os.path.basename(arguments.host)))
    lines = differences(bare, run(command, environment, scratch, arguments.timeout))
    return (1 if lines else 0), lines


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", required=True, help="the library to preload")
    parser.add_argument("--mode", default="plain", choices=["plain", "off", "target", "target1000", "targetlocks",
                                                                        "targetheap"])
    parser.add_argument("--expect-difference", action="store_true",
                        help="succeed only if the runs differ: proves that the case can fail")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for each run")
    parser.add_argument("host")
    parser.add_argument("case")
    return parser.parse_args()


def main():
    arguments = parse()
    arguments.host, arguments.agent = map(os.path.abspath, (arguments.host, arguments.agent))
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    isolate_network()
    scratch = tempfile.mkdtemp(prefix="sonde-hosts-")
    os.chmod(scratch, 0o755)
    try:
        code, lines = compare(arguments, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print("\n".join(lines))
    if arguments.expect_difference and code != SKIPPED:
        return 0 if code == 1 and not lines[0].startswith("the bare run") else 1
    return code


if __name__ == "__main__":
    sys.exit(main())
