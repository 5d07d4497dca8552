# SPDX-License-Identifier: Apache-2.0
"""accuracy_host under the agent: works while a profile is taken, and says what it really used."""
import glob
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

from raw_profile import decode

LEAD_S = 0.4  # the capture is open before the work begins, and still after its end
TAIL_S = 0.8


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Session:
    """One process; `with` ends it by its pid."""

    def __init__(self, agent, host, case, hz, scratch, **settings):
        self.scratch, self.hz = scratch, hz
        run_dir = os.path.join(scratch, "run")
        shutil.rmtree(run_dir, ignore_errors=True)
        environment = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": os.path.abspath(agent), "SONDE_RUN_DIR": run_dir,
                       "SONDE_LISTEN": "", "SONDE_TARGET": os.path.basename(host), "SONDE_CPU_HZ": str(hz),
                       "SONDE_CPU_LIMIT_PERCENT": "100", **settings}
        self.process = subprocess.Popen([host, case], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        if self.read_line() != "ready":
            raise RuntimeError(f"{host} {case} did not get ready")
        deadline = time.monotonic() + 20  # a busy machine may run the host first and the agent's thread later
        while not (sockets := glob.glob(os.path.join(run_dir, "*.sock"))) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.sockets = sockets
        if not self.sockets:
            raise RuntimeError("the agent has made no socket: is it in the process?")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def read_line(self):
        return self.process.stdout.readline().strip()

    def get(self, path, timeout=120):
        connection = UnixConnection(self.sockets[0], timeout)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"GET {path}: {answer.status} {body[:300]!r}")
        return body

    def status(self):
        return json.loads(self.get("/debug/sonde/status"))

    def agent_thread_ns(self):
        """CPU time of the agent's thread, by the kernel's books."""
        tasks = f"/proc/{self.process.pid}/task"
        for tid in os.listdir(tasks):
            with open(f"{tasks}/{tid}/comm", encoding="utf-8") as comm:
                if comm.read().strip() != "sonde":
                    continue
            with open(f"{tasks}/{tid}/schedstat", encoding="ascii") as schedstat:
                return int(schedstat.read().split()[0])
        raise RuntimeError("the process has no thread named sonde")

    def work(self, milliseconds):
        """{key: nanoseconds}, and "agent": of the agent's thread meanwhile."""
        agent_ns = self.agent_thread_ns()
        self.process.stdin.write(f"{milliseconds}\n")
        self.process.stdin.flush()
        truth = {}
        while (line := self.read_line()) != "done":
            key, _, value = line.rpartition(" ")
            if not key:
                raise RuntimeError(f"the host ended: {line!r}")
            truth[key] = truth.get(key, 0) + int(value)
        truth["agent"] = self.agent_thread_ns() - agent_ns
        return truth

    def measure(self, seconds):
        """Profile and truth of `seconds` of work."""
        answer = {}
        whole = int(seconds + LEAD_S + TAIL_S + 1)
        reader = threading.Thread(target=lambda: answer.update(body=self.get(f"/debug/pprof/profile?seconds={whole}")))
        reader.start()
        time.sleep(LEAD_S)
        started = time.monotonic()
        truth = self.work(int(seconds * 1000))
        if time.monotonic() - started > whole - LEAD_S:
            raise RuntimeError("the work took longer than the capture: the machine is overloaded")
        reader.join()
        path = os.path.join(self.scratch, "cpu.pb.gz")
        with open(path, "wb") as file:
            file.write(answer["body"])
        return decode(path, self.scratch), truth
