# SPDX-License-Identifier: Apache-2.0
"""Busy services that are well: redis, postgres, nginx, java and python with threads that lock, side by side.

What is found about them must be true by the kernel's own books, which are kept beside: a thread is hot only if it used
that much of a core at that time; nobody is stuck, nothing is deadlocked. SONDE_HEALTHY_SECONDS: for how long (20). The
limits are far below the defaults (hot after 3 s, stuck after 5 s), so that a minute shows what an hour would.
"""
import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field

from hot_check import SONDE
from lab import can_connect, read_file
from scenarios.java import WORK as JAVA
from scenarios.postgres import owner

TARGET = "redis-server"  # each service names its own
NEEDS = ["redis-server", "redis-benchmark", "postgres", "initdb", "pgbench", "nginx", "java", *([] if SONDE else ["sonde"])]
SECONDS = float(os.environ.get("SONDE_HEALTHY_SECONDS", "20"))
HOT_PERCENT = 80
LIMITS = {"SONDE_HOT_AFTER": "3s", "SONDE_HOT_PERCENT": str(HOT_PERCENT), "SONDE_STUCK_AFTER": "5s"}
NGINX = """
worker_processes 2; daemon off; pid {0}/nginx.pid; error_log {0}/error.log notice; user www-data;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u;
  scgi_temp_path {0}/s; server {{ listen 127.0.0.1:18090; location / {{ return 200 "good"; }} }}
}}
"""
PYTHON = r"""
import threading, time, queue
locks, work = [threading.Lock() for _ in range(4)], queue.Queue(100)
def fight(n):
    while True:
        with locks[n % 3], locks[3]: time.sleep(0.0005)
def consume():
    while True: work.get(); sum(range(2000))
for n in range(8): threading.Thread(target=fight, args=(n,), daemon=True).start()
for n in range(4): threading.Thread(target=consume, daemon=True).start()
print("ready", flush=True)
while True: work.put(1); time.sleep(0.001)
"""
CLIENT = r"""
import socket, sys, time
while True:
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1]))); s.sendall(b"GET / HTTP/1.0\r\n\r\n"); s.recv(999); s.close()
    time.sleep(0.002)
"""


@dataclass
class Truth:
    found: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    kind: str = "healthy"

    def passes(self):
        return not self.problems

    def figure(self):
        return f"{len(self.found)} true findings, {len(self.problems)} false in {SECONDS:.0f} s"

    def __str__(self):
        return f"healthy: {self.figure()}; {'; '.join(self.problems + self.found)}"


class Books:
    """Every half second: the CPU time of every thread of the services, from the kernel."""

    def __init__(self, roots):
        self.roots, self.entries, self.over = roots, {}, threading.Event()
        self.thread = threading.Thread(target=self.keep)
        self.thread.start()

    def keep(self):
        while not self.over.wait(0.5):
            for pid in self.family():
                self.look(pid)

    def family(self):
        pids = [process.pid for process in self.roots]
        for pid in pids:
            try:
                pids += [int(child) for child in read_file(f"/proc/{pid}/task/{pid}/children").split()]
            except OSError:
                pass
        return pids

    def look(self, pid):
        try:
            for tid in os.listdir(f"/proc/{pid}/task"):
                used = int(read_file(f"/proc/{pid}/task/{tid}/schedstat").split()[0])
                self.entries.setdefault((pid, int(tid)), []).append((time.time(), used / 1e9))
        except OSError:
            pass

    def share(self, pid, tid, since, until):
        """Of a core, between two times; the books' own grain is a second."""
        inside = [entry for entry in self.entries.get((pid, tid), []) if since - 1 <= entry[0] <= until + 1]
        if len(inside) < 2:
            return 0
        return (inside[-1][1] - inside[0][1]) / max(inside[-1][0] - inside[0][0], 0.1)


def judge(finding, books, truth):
    text = f"{finding['kind']} of pid {finding['pid']}: {finding['sentence']}"
    if finding["kind"] != "hot_thread":
        truth.problems.append(text)
        return
    since, until = finding["since_unix_ms"] / 1e3, finding.get("until_unix_ms", time.time() * 1e3) / 1e3
    share = books.share(finding["pid"], int(finding["facts"]["tid"]), since, until)
    (truth.found if share * 100 >= 0.75 * HOT_PERCENT else truth.problems).append(f"{text} (books: {share:.0%})")


def refuses_an_invented_one(books, idle_pid):
    """nginx's master waits all the time."""
    now_ms, said = time.time() * 1e3, Truth()
    judge({"kind": "hot_thread", "pid": idle_pid, "sentence": "invented", "since_unix_ms": now_ms - 5000,
           "until_unix_ms": now_ms, "facts": {"tid": str(idle_pid)}}, books, said)
    return bool(said.problems)


def findings_at(port):
    done = subprocess.run([SONDE, "findings", f":{port}", "--json"], capture_output=True, text=True, timeout=60, check=False)
    return json.loads(done.stdout)["findings"] if done.returncode in (0, 3) else None


def run(lab):
    user = "postgres" if os.getuid() == 0 else None
    os.makedirs(lab.path("data"))
    if user:
        os.chown(lab.path("data"), *owner(user))
    agents = {}

    def start(name, command, ready, **extra):
        agents[name] = 7701 + len(agents)
        os.makedirs(lab.path(f"run-{name}"), mode=0o777)
        os.chmod(lab.path(f"run-{name}"), 0o777)
        settings = {"SONDE_TARGET": os.path.basename(command[0]), "SONDE_LISTEN": f"127.0.0.1:{agents[name]}",
                    "SONDE_RUN_DIR": lab.path(f"run-{name}"), **LIMITS}
        return lab.start(command, ready=ready, **extra, **settings)

    def load(*command):
        process = subprocess.Popen(command, env=lab.environment(False, PGHOST=lab.directory, PGPORT="15450"), user=user,
                                   cwd=lab.directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        lab.processes.append(process)
        return process

    lab.run(["initdb", "-N", "-A", "trust", "-D", lab.path("data")], user=user)
    services = [
        start("redis", ["redis-server", "--port", "16390", "--dir", lab.directory, "--save", ""], lambda: can_connect(16390)),
        start("postgres", ["postgres", "-D", lab.path("data"), "-p", "15450", "-k", lab.directory, "-h", "127.0.0.1"],
              lambda: lab.run(["pg_isready", "-h", lab.directory, "-p", "15450"]).returncode == 0, user=user),
        start("nginx", ["nginx", "-p", lab.directory, "-c", lab.write("nginx.conf", NGINX.format(lab.directory))],
              lambda: can_connect(18090)),
        start("java", ["java", "-Xmx128m", lab.write("Work.java", JAVA.replace("for (;;) burn(200000);",
                                                                              "for (;;) { burn(2000); Thread.sleep(5); }"))],
              lambda: lab.wait_for(lambda: "ready" in lab.log("java"), 120)),
        start("python", ["/usr/bin/python3.11", lab.write("work.py", PYTHON)], lambda: "ready" in lab.log("python3.11")),
    ]
    lab.run(["pgbench", "-i", "-q", "-s", "2", "-h", lab.directory, "-p", "15450", "postgres"], user=user)
    books = Books(services)
    loads = [load("redis-benchmark", "-p", "16390", "-q", "-c", "20", "-l", "-t", "set,get"),
             load("pgbench", "-c", "6", "-j", "2", "-R", "150", "-T", "100000", "postgres"),
             load("/usr/bin/python3", "-c", CLIENT, "18090")]
    time.sleep(SECONDS)
    truth = Truth()
    for name, port in agents.items() if lab.agent else []:
        found = findings_at(port)
        if found is None:
            truth.problems.append(f"the agent of {name} does not answer")
        for finding in found or []:
            judge(finding, books, truth)
    if not refuses_an_invented_one(books, services[2].pid):
        truth.problems.append("the books confirm an invented finding")
    books.over.set()
    books.thread.join()
    if lab.agent:
        lab.profiles.append(truth)
    for process in loads:
        process.kill()
        process.wait()
    for process, number in zip(services, (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGKILL)):
        lab.end(process, number)
