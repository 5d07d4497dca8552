# SPDX-License-Identifier: Apache-2.0
"""Who burns the core? One backend with a bad query beside a healthy pgbench, while it runs and after it ended."""
import os
import signal
import subprocess

from hot_check import SENSITIVE, SONDE, check_finding, check_hot, check_later, favour
from scenarios.postgres import owner

TARGET, NEEDS, PORT = "postgres", ["postgres", "initdb", "pgbench", "psql"], "15433"
NEEDS = [*NEEDS, *([] if SONDE else ["sonde"])]
# The interpreter's functions have no names in a stripped plpgsql.so: the nearest that has one is told, too.
SAID = r"\d+ % of it in plpgsql"
BAD = "do $$ declare s float := 0; begin for i in 1..2000000000 loop s := s + sqrt(i) * 2; end loop; end $$"


def run(lab):
    user = "postgres" if os.getuid() == 0 else None
    os.makedirs(lab.path("data"))
    if user:
        os.chown(lab.path("data"), *owner(user))
    names = {"PGHOST": lab.directory, "PGPORT": PORT}

    def tool(*command):
        return lab.run(command, user=user, **names)

    def beside(*command):
        process = subprocess.Popen(command, env=lab.environment(False, **names), cwd=lab.directory, user=user,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lab.processes.append(process)
        return process

    lab.note(f"initdb {tool('initdb', '-N', '-A', 'trust', '-D', lab.path('data')).returncode}")
    server = lab.start(["postgres", "-D", lab.path("data"), "-p", PORT, "-k", lab.directory, "-h", "127.0.0.1"],
                       user=user, ready=lambda: tool("pg_isready").returncode == 0, **SENSITIVE)
    favour(server)
    lab.note(f"pgbench -i {tool('pgbench', '-i', '-q', '-s', '1', 'postgres').returncode}")
    healthy = beside("pgbench", "-S", "-c", "3", "-R", "100", "-T", "16", "postgres")
    bad = beside("psql", "-XAt", "postgres", "-c", "set statement_timeout = '16s'", "-c", BAD)

    def backends():
        asked = tool("psql", "-XAtc", "select pid from pg_stat_activity where query like 'do $$%'", "postgres")
        return [int(line) for line in asked.stdout.split()]

    lab.note(f"runs {lab.wait_for(backends)}")
    backend = backends()[0]
    lab.wait_for(lambda: False, 6)
    functions = ["plpgsql_inline_handler"]
    check_hot(lab, "a bad query", backend, functions, least=0.5)
    check_finding(lab, "a bad query", backend, backend, functions[0], True, least=0.6, said=SAID)
    lab.note(f"bad {bad.wait(60)}, pgbench {healthy.wait(60)}")
    lab.wait_for(lambda: not os.path.exists(f"/proc/{backend}"))
    check_hot(lab, "after its process ended", backend, functions, least=0.5)
    check_later(lab, "after its process ended", backend, backend, functions[0], least=0.6, said=SAID)
    for process in (bad, healthy):
        process.stdout.close()
    lab.end(server, signal.SIGINT)
    log = lab.log("postgres")
    lab.note({word: log.count(word) for word in ("PANIC", "was terminated by signal")})
