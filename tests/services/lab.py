# SPDX-License-Identifier: Apache-2.0
"""The bench on which a scenario runs a real service: bare or under the agent, in its own directory and network.

A scenario notes what a user of the service sees; notes of the two runs must be equal. Processes are started and
ended by pid, and everything is bounded in time.
"""
import glob
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request

from heap_check import check_heap
from memory_check import check_memory
from profile_check import ROOT, check_profile
from thread_check import check_threads

PATH = "/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin"
AGENT_PORT = 7663


class Lab:
    def __init__(self, directory, agent, target):
        self.directory, self.agent, self.target = directory, agent, target
        self.notes, self.profiles, self.processes = [], [], []

    def note(self, text):
        self.notes.append(str(text))

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), 0o644)
        return self.path(name)

    def environment(self, preload=True, **extra):
        base = {"PATH": PATH, "HOME": self.directory, "TMPDIR": self.directory, "LC_ALL": "C"}
        if self.agent and preload:
            base.update(LD_PRELOAD=self.agent, SONDE_TARGET=self.target, SONDE_RUN_DIR=self.path("run"))
        return {**base, **extra}

    def start(self, command, ready=None, user=None, **extra):
        """Starts the service itself, preloaded; waits until ready() is true."""
        log = open(self.path(os.path.basename(command[0]) + ".log"), "ab")
        process = subprocess.Popen(command, env=self.environment(**extra), cwd=self.directory, user=user, group=user,
                                   extra_groups=[] if user else None, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log)
        log.close()
        self.processes.append(process)
        if ready and not self.wait_for(ready):
            raise RuntimeError(f"{command[0]} was not ready in time, status {process.poll()}:\n{self.log(command[0])}")
        return process

    def log(self, program):
        with open(self.path(os.path.basename(program) + ".log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def run(self, command, preload=False, timeout=120, user=None, **extra):
        """Runs a client or tool to its end, by default without the agent."""
        return subprocess.run(command, env=self.environment(preload, **extra), cwd=self.directory, timeout=timeout,
                              user=user, group=user, extra_groups=[] if user else None, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace")

    def wait_for(self, condition, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.02)
        return False

    def end(self, process, sig=signal.SIGTERM, timeout_s=30):
        """Asks the service to end and notes how it did."""
        process.send_signal(sig)
        self.note(f"ended with {process.wait(timeout_s)}")

    def profile(self, load=None, seconds=4, **expected):
        """Under the agent: takes every profile while the load runs and keeps what is to be said about each.

        Expected may hold: roots (where stacks begin, beside main and thread starts), holders, not_covered (see
        heap_check.py), unexplained (the largest share of the RSS that the page of memory may leave unexplained),
        functions ({pattern: least share of the CPU time below it}), unsampled (the largest share of the CPU time that
        may be told as "[not sampled]").
        """
        worker = subprocess.Popen(load, env=self.environment(False), cwd=self.directory, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) if load else None
        base = f"http://127.0.0.1:{AGENT_PORT}"
        # A service that executes itself anew while it starts (haproxy) cuts the first answers.
        if self.agent and self.wait_for(lambda: answers(base), 15):
            self.profiles += take_all(self, base, seconds, **expected)
        elif self.agent:
            self.profiles.append("the agent does not listen")
        if worker and worker.wait(60):
            self.profiles.append(f"the load ended with {worker.returncode}")

    def profile_process(self, pid, load=None, seconds=4, roots="", functions=None):
        """Takes the CPU profile only, of a process by its own socket: another one may hold the port."""
        worker = subprocess.Popen(load, env=self.environment(False), cwd=self.directory, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) if load else None
        sockets = []
        if self.agent and self.wait_for(lambda: sockets.extend(glob.glob(self.path(f"run/*-{pid}-*.sock"))) or sockets, 15):
            self.profiles.append(check_profile(f"http://localhost/debug/pprof/profile?seconds={seconds}",
                                               self.path("cpu.pb.gz"), f"{ROOT}|{roots}" if roots else ROOT,
                                               functions, sockets[0]))
        elif self.agent:
            self.profiles.append(f"process {pid} has no agent")
        if worker and worker.wait(60):
            self.profiles.append(f"the load ended with {worker.returncode}")

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def answers(base):
    try:
        return bool(status_of(base))
    except OSError:
        return False


def status_of(base):
    with urllib.request.urlopen(f"{base}/debug/sonde/status", timeout=30) as answer:
        return json.load(answer)


def take_all(lab, base, seconds, roots="", holders=None, not_covered=None, unexplained=None, functions=None,
             unsampled=0.0):
    pattern = f"{ROOT}|{roots}" if roots else ROOT
    pid = status_of(base)["pid"]
    cpu = check_profile(f"{base}/debug/pprof/profile?seconds={seconds}", lab.path("cpu.pb.gz"), pattern, functions,
                        unsampled=unsampled)
    memory = check_memory(base, unexplained)
    heap = check_heap(base, lab.path("heap.pb.gz"), memory.page["parts"]["live_heap"], holders, not_covered)
    return [cpu, heap, check_threads(base, lab.path("threads.txt"), pid, pattern), memory]


def can_connect(port):
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def read_file(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
