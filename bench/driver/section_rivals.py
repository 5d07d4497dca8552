# SPDX-License-Identifier: Apache-2.0
"""Services that allocate, under Sonde and under the heap profilers it is measured beside."""
import contextlib
import os
import shutil
import socket
import subprocess
import time

from measure import BARE, Failed, Series, cpu_seconds_of, interleave
from report import Bar, Row
from rivals import BASE, heap_rivals, label

TITLE = "Services under heap profilers"
NOTE = ("CPU time of the whole process. redis-server and memcached: per request, one server of each kind, side by side, "
        "loaded in turn (redis: SET of 20,000 keys with values of 200 bytes, 50 clients, 16 in flight; memcached: every "
        "tenth request a set, in batches of 50). db_bench (RocksDB): fillrandom, then readrandom, 2 threads, start and end "
        "included. redis-server of Debian brings jemalloc along, so *bare* is jemalloc there. An allocator's own sampling "
        "is compared with that allocator.")

FIRST_PORT = 17711


class Service:
    def __init__(self, command, load, requests):
        self.command, self.load, self.requests = command, load, requests


def redis_command(port, lab):
    return ["/usr/bin/redis-server", "--port", str(port), "--save", "", "--dir", lab.scratch]


def redis_load(port, requests, _):
    return ["redis-benchmark", "-p", str(port), "-n", str(requests), "-t", "set", "-q", "-c", "50", "-P", "16",
            "-d", "200", "-r", "20000"]


def memcached_command(port, _):
    return ["/usr/bin/memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "2"]


def memcached_load(port, requests, lab):
    return [lab.program("bench_memcached_load"), str(port), str(requests)]


SERVICES = {"redis-server": Service(redis_command, redis_load, 100_000),
            "memcached": Service(memcached_command, memcached_load, 200_000)}


def is_up(port):
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def server(lab, command, port, settings):
    process = subprocess.Popen(command, env={"PATH": "/usr/bin:/bin", **settings}, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not is_up(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{command[0]} with {settings} does not answer on port {port}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def request_us(lab, service, port, pid, requests):
    before = cpu_seconds_of(pid)
    subprocess.run(service.load(port, requests, lab), stdout=subprocess.DEVNULL, timeout=300, check=True)
    return 1e6 * (cpu_seconds_of(pid) - before) / requests


def service_rows(lab, name, service):
    if not lab.have(f"/usr/bin/{name}", f"{name} (package {name})"):
        return []
    variants = heap_rivals(lab, name)
    ports = {variant: FIRST_PORT + i for i, variant in enumerate(variants)}
    with contextlib.ExitStack() as stack:
        pids = {variant: stack.enter_context(server(lab, service.command(ports[variant], lab), ports[variant], settings))
                for variant, settings in variants.items()}
        time.sleep(2)
        requests = service.requests // lab.rounds(1, 10)
        us = interleave(list(variants), lab.rounds(9, 2),
                        lambda variant: request_us(lab, service, ports[variant], pids[variant], requests))
    return rows_of(f"{name}, CPU per request", "µs", us)


def db_bench_ms(lab, settings, num):
    directory = lab.path("rocksdb")
    shutil.rmtree(directory, ignore_errors=True)
    command = ["/usr/bin/db_bench", "--benchmarks=fillrandom,readrandom", f"--num={num}", "--value_size=100",
               f"--db={directory}", "--threads=2", "--compression_type=none", "--disable_wal=1", "--seed=1",
               "--max_background_jobs=2"]
    with subprocess.Popen(command, env={"PATH": "/usr/bin:/bin", **settings}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"db_bench with {settings} ended with {process.returncode}")
    return 1000 * (usage.ru_utime + usage.ru_stime)


def rows_of(what, unit, values):
    return [Row(what, label(name), unit, Series(values[name], values[BASE.get(name, BARE)]),
                Bar("ratio", 1.01, noise=0.03) if name == "libsonde" else None, "ratio") for name in values]


def measure(lab):
    rows = []
    for name, service in SERVICES.items():
        rows += service_rows(lab, name, service)
    if lab.have("/usr/bin/db_bench", "db_bench (package rocksdb-tools)"):
        variants = heap_rivals(lab, "db_bench")
        ms = interleave(list(variants), lab.rounds(7, 1),
                        lambda name: db_bench_ms(lab, variants[name], lab.rounds(200_000, 20_000)))
        rows += rows_of("db_bench, CPU", "ms", ms)
    return rows
