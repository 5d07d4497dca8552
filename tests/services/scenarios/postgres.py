# SPDX-License-Identifier: Apache-2.0
"""postgres: a new cluster, pgbench, many connections, a backend that is cancelled and one that is killed."""
import os
import signal

TARGET, NEEDS, PORT = "postgres", ["postgres", "initdb", "pgbench", "psql"], "15432"


def run(lab):
    user = "postgres" if os.getuid() == 0 else None
    os.makedirs(lab.path("data"))
    if user:
        os.chown(lab.path("data"), *owner(user))

    def tool(*command, preload=False):
        return lab.run(command, user=user, preload=preload, PGHOST=lab.directory, PGPORT=PORT)

    def ask(sql):
        done = tool("psql", "-XAtc", sql, "postgres")
        return done.stdout.strip() or done.stderr.strip()

    lab.note(f"initdb {tool('initdb', '-N', '-A', 'trust', '-D', lab.path('data'), preload=True).returncode}")
    server = lab.start(["postgres", "-D", lab.path("data"), "-p", PORT, "-k", lab.directory, "-h", "127.0.0.1"],
                       user=user, ready=lambda: tool("pg_isready").returncode == 0)
    lab.note(f"pgbench -i {tool('pgbench', '-i', '-q', '-s', '2', 'postgres').returncode}")
    done = tool("pgbench", "-c", "4", "-j", "2", "-t", "100", "postgres")
    lab.note([line for line in done.stdout.splitlines() if "processed" in line or "failed" in line])
    lab.note(ask("select count(*), sum(length(filler)) from pgbench_accounts"))
    lab.profile(load=["pgbench", "-S", "-c", "4", "-T", "6", "-h", lab.directory, "-p", PORT, "-U", user or "", "postgres"],
                unexplained=0.05)
    lab.note(ask("set statement_timeout = '200ms'; select pg_sleep(20)"))
    lab.note(ask("set statement_timeout = '400ms'; select count(*) from generate_series(1, 1000000000)"))
    lab.note(ask("select 1/0"))
    lab.note(ask("create extension if not exists plpgsql; do $$ begin perform sqrt(i) from generate_series(1, 300000) i; end $$"))
    lab.note(ask("set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;"
                 "set min_parallel_table_scan_size = 0; select count(*) from pgbench_accounts where aid % 7 = 3"))
    lab.end(server, signal.SIGINT)
    log = lab.log("postgres")
    lab.note({word: log.count(word) for word in ("PANIC", "was terminated by signal")})


def owner(user):
    import pwd  # only where there are users to change to
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid
