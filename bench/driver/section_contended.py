# SPDX-License-Identifier: Apache-2.0
"""Services whose threads and processes fight for locks, with the lock hooks off and measuring."""
import contextlib
import os
import pwd
import re
import shutil
import subprocess
import time

from measure import BARE, Failed, Series, interleave, run_program
from report import Bar, Row

TITLE = "Contended services"
NOTE = ("*CPU*: of all processes of the service. *Elapsed*: of the load, which is throughput the other way round. Servers "
        "of each kind live side by side and are loaded in turn. *mutex*: 8 threads of a small program fight for one mutex "
        "that is held for 0.1 µs. *redis-server*: four io-threads, GET and SET, 50 clients, 16 in flight. *postgres*: "
        "`pgbench -S -c 16`; its processes wait for each other at semaphores and spin locks of their own. *mariadbd*: 16 "
        "connections increment one row. Off is the default; measuring is `SONDE_LOCKS=on`. Every server is started three "
        "times, because one differs from the next by what lies where in memory. *Bare again* is another bare server: what it "
        "differs from the first by is noise, and within noise (3 % at least) is the bar.")

FIRST_PORT = 17731
AGAIN = "bare again"
TICKS = os.sysconf("SC_CLK_TCK")


def variants_of(lab, program):
    return {BARE: {}, AGAIN: {}, "off": lab.sonde(program), "measuring": lab.sonde(program, SONDE_LOCKS="on")}


def tree_cpu_s(pid):
    """CPU time of a process, of its children that were waited for, and of those that live."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    used = sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICKS
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        for child in file.read().split():
            with contextlib.suppress(OSError):  # it ended just now
                used += tree_cpu_s(int(child))
    return used


class Redis:
    program, requests = "redis-server", 300_000
    needs = ["redis-server", "redis-benchmark"]

    def command(self, lab, port, _):
        return ["redis-server", "--port", str(port), "--save", "", "--dir", lab.scratch, "--io-threads", "4",
                "--io-threads-do-reads", "yes"]

    def prepare(self, lab, directory):
        pass

    def ready(self, port, _):
        return ["redis-cli", "-p", str(port), "ping"]

    def fill(self, port, directory):
        pass

    def load(self, port, requests, _):
        return ["redis-benchmark", "-p", str(port), "-n", str(requests // 2), "-t", "get,set", "-q", "-c", "50", "-P", "16"]

    user = None


class Postgres:
    program, requests = "postgres", 24_000
    needs = ["postgres", "initdb", "pgbench", "pg_isready"]
    user = "postgres" if os.getuid() == 0 else None

    def prepare(self, lab, directory):
        check(["initdb", "-N", "-A", "trust", "-D", directory], self.user)

    def command(self, lab, port, directory):
        return ["postgres", "-D", directory, "-p", str(port), "-k", directory, "-h", "127.0.0.1"]

    def ready(self, port, directory):
        return ["pg_isready", "-h", directory, "-p", str(port)]

    def fill(self, port, directory):
        check(["pgbench", "-i", "-q", "-s", "2", "-h", directory, "-p", str(port), "postgres"], self.user)

    def load(self, port, requests, directory):
        return ["pgbench", "-S", "-c", "16", "-j", "2", "-t", str(requests // 16), "-h", directory, "-p", str(port),
                "postgres"]


class Mariadb:
    program, requests = "mariadbd", 6_000
    needs = ["mariadbd", "mariadb-install-db", "mariadb", "mariadb-slap"]
    user = None
    as_user = ["--user=root"] if os.getuid() == 0 else []

    def prepare(self, lab, directory):
        check(["mariadb-install-db", "--no-defaults", *self.as_user, f"--datadir={directory}",
               "--auth-root-authentication-method=normal", "--skip-test-db"], None)

    def command(self, lab, port, directory):
        return ["mariadbd", "--no-defaults", *self.as_user, f"--datadir={directory}", f"--socket={directory}/s",
                f"--port={port}", "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M",
                "--innodb-flush-log-at-trx-commit=0"]

    def ready(self, port, directory):
        return ["mariadb", "--no-defaults", "-uroot", f"--socket={directory}/s", "-e", "select 1"]

    def fill(self, port, directory):
        check(["mariadb", "--no-defaults", "-uroot", f"--socket={directory}/s", "-e",
               "create database t; create table t.c (id int primary key, n bigint) engine=innodb; insert into t.c values (1, 0)"],
              None)

    def load(self, port, requests, directory):
        return ["mariadb-slap", "--no-defaults", "-uroot", f"--socket={directory}/s", "--concurrency=16",
                f"--number-of-queries={requests}", "--query=update t.c set n = n + 1 where id = 1", "--create-schema=t",
                "--no-drop"]


def check(command, user):
    done = run(command, user)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")


def run(command, user):
    return subprocess.run(command, env={"PATH": PATH, "LC_ALL": "C"}, user=user, cwd="/", stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=300, check=False)


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def directory_for(lab, service, name):
    """The service's own, which its user may write."""
    directory = lab.path(f"{service.program}-{re.sub('[^a-z]', '', name)}")
    for path in (directory, directory + "-run"):
        os.makedirs(path, mode=0o700)
        if service.user:
            entry = pwd.getpwnam(service.user)
            os.chown(path, entry.pw_uid, entry.pw_gid)
    return directory


@contextlib.contextmanager
def server(lab, service, name, settings, port):
    directory = directory_for(lab, service, name)
    service.prepare(lab, directory)
    if settings:
        settings = {**settings, "SONDE_RUN_DIR": directory + "-run", "SONDE_LISTEN": f"127.0.0.1:{port + 20}"}
    with open(directory + ".log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(service.command(lab, port, directory), env={"PATH": PATH, "LC_ALL": "C", **settings},
                                   user=service.user, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while run(service.ready(port, directory), service.user).returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{service.program} as '{name}' does not answer on port {port}; see {directory}.log")
            time.sleep(0.1)
        service.fill(port, directory)
        yield process.pid, directory
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for path in (directory, directory + "-run"):
            shutil.rmtree(path, ignore_errors=True)


def loaded(service, port, place, requests):
    """(CPU, elapsed) in microseconds per request."""
    pid, directory = place
    before_cpu, before = tree_cpu_s(pid), time.monotonic()
    check(service.load(port, requests, directory), service.user)
    elapsed = time.monotonic() - before
    return 1e6 * (tree_cpu_s(pid) - before_cpu) / requests, 1e6 * elapsed / requests


def rows_of(what, unit, results):
    """What the default costs is judged, and what measuring costs; elapsed time is the machine's, too."""
    rows = []
    for place, kind in enumerate(("CPU", "elapsed")):
        values = {name: [pair[place] for pair in pairs] for name, pairs in results.items()}
        noise = max(0.03, abs(Series(values[AGAIN], values[BARE]).ratio - 1))
        for name in values:
            bar = Bar("ratio", 1.0, noise) if name not in (BARE, AGAIN) else None
            rows.append(Row(f"{what}, {kind}", name, unit, Series(values[name], values[BARE]), bar, "ratio"))
    return rows


def service_rows(lab, service):
    variants = variants_of(lab, service.program)
    results = {name: [] for name in variants}
    for _ in range(lab.rounds(3, 1)):
        for name, pairs in loads_of_one_start(lab, service, variants).items():
            results[name] += pairs
    return rows_of(f"{service.program}, per request", "µs", results)


def loads_of_one_start(lab, service, variants):
    ports = {name: FIRST_PORT + i for i, name in enumerate(variants)}
    with contextlib.ExitStack() as stack:
        places = {name: stack.enter_context(server(lab, service, name, settings, ports[name]))
                  for name, settings in variants.items()}
        time.sleep(3)
        requests = service.requests // lab.rounds(1, 4)
        return interleave(list(variants), lab.rounds(5, 2),
                          lambda name: loaded(service, ports[name], places[name], requests))


def fight(lab, settings):
    said = run_program([lab.program("bench_fights")], settings)
    return said["cpu"][0], said["elapsed"][0]


def measure(lab):
    os.chmod(lab.scratch, 0o755)  # for users who are not root
    variants = variants_of(lab, "bench_fights")
    rows = rows_of("mutex, 8 threads, per lock", "ns",
                   interleave(list(variants), lab.rounds(15, 2), lambda name: fight(lab, variants[name])))
    for service in (Redis(), Postgres(), Mariadb()):
        missing = [program for program in service.needs if not shutil.which(program, path=PATH)]
        if missing:
            lab.have(missing[0], f"{missing[0]} (of {service.program})")
        else:
            rows += service_rows(lab, service)
    return rows
