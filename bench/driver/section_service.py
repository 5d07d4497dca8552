# SPDX-License-Identifier: Apache-2.0
"""A real service under load and at rest: CPU time per request, memory."""
import contextlib
import socket
import subprocess
import time
import urllib.request

from lab import PORT
from measure import BARE, Failed, Series, cpu_seconds_of, interleave
from report import Bar, Row

TITLE = "redis-server"
NOTE = ("CPU time of the whole server process per request of redis-benchmark (GET and SET, 50 clients, no "
        "pipelining): one bare and one preloaded server live side by side and are loaded in turn. Memory: RSS at "
        "rest, before the load and after it and one downloaded profile; shared pages of libsonde.so count in it.")

PORTS = {BARE: 17701, "libsonde": 17702}


def is_up(port):
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def server(lab, name):
    settings = {} if name == BARE else lab.sonde("redis-server")
    command = ["/usr/bin/redis-server", "--port", str(PORTS[name]), "--save", "", "--dir", lab.scratch]
    process = subprocess.Popen(command, env={"PATH": "/usr/bin:/bin", **settings}, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not is_up(PORTS[name]):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"redis-server as '{name}' does not answer on port {PORTS[name]}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def load(port, requests):
    subprocess.run(["redis-benchmark", "-p", str(port), "-n", str(requests), "-t", "get,set", "-q", "-c", "50"],
                   stdout=subprocess.DEVNULL, timeout=300, check=True)


def rss_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def cpu_us(name, pid, requests):
    before = cpu_seconds_of(pid)
    load(PORTS[name], requests)
    return 1e6 * (cpu_seconds_of(pid) - before) / (2 * requests)


def download_profile(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/debug/pprof/profile?seconds=1", timeout=30) as answer:
        if not answer.read().startswith(b"\x1f\x8b"):
            raise Failed("the downloaded profile is not gzip")


def memory_rows(what, pids, bar):
    rss = {name: [rss_mib(pid)] for name, pid in pids.items()}
    return [Row(what, name, "MiB", Series(rss[name], rss[BARE]), bar if name != BARE else None) for name in pids]


def measure(lab):
    if not lab.have("/usr/bin/redis-server", "redis-server (package redis-server)"):
        return []
    with server(lab, BARE) as bare, server(lab, "libsonde") as preloaded:
        pids = {BARE: bare, "libsonde": preloaded}
        time.sleep(4)
        memory = memory_rows("memory at rest", pids, Bar("added", 4.0))
        requests = lab.rounds(30000, 10000)
        us = interleave(list(pids), lab.rounds(15, 3), lambda name: cpu_us(name, pids[name], requests))
        download_profile(PORT)
        time.sleep(1)
        memory += memory_rows("memory after load and a profile", pids, None)
    bar = Bar("ratio", 1.01)
    rows = [Row("CPU per request", name, "µs", Series(us[name], us[BARE]), bar if name != BARE else None, "ratio")
            for name in pids]
    return rows + memory
