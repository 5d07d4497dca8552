# SPDX-License-Identifier: Apache-2.0
"""mariadb: a new data directory, tables, parallel queries, a query that is killed, shutdown by SIGTERM."""
import os
import signal

TARGET, NEEDS, PORT = "mariadbd", ["mariadbd", "mariadb-install-db", "mariadb", "mariadb-slap"], "13306"
LOAD_QUERY = "select count(*), sum(crc32(concat(a, b))) from test.t where b like '%7%'"


def run(lab):
    # Without root there is no user to change to; the data directory is the caller's then.
    user = ["--user=root"] if os.getuid() == 0 else []
    data, socket = lab.path("data"), lab.path("m.sock")
    made = lab.run(["mariadb-install-db", "--no-defaults", *user, f"--datadir={data}",
                    "--auth-root-authentication-method=normal", "--skip-test-db"], timeout=300)
    lab.note(f"installed {made.returncode}")

    def ask(sql, *options):
        done = lab.run(["mariadb", "--no-defaults", "-uroot", f"--socket={socket}", "-N", "-e", sql, *options])
        return done.stdout.strip() or done.stderr.strip()

    server = lab.start(["mariadbd", "--no-defaults", *user, f"--datadir={data}", f"--socket={socket}",
                        f"--port={PORT}", "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M",
                        f"--pid-file={lab.path('m.pid')}"], ready=lambda: ask("select 1") == "1")
    lab.note(ask("create database test; use test; create table t (a int primary key, b varchar(200)) engine=innodb;"
                 "insert into t select seq, repeat(md5(seq), 4) from seq_1_to_20000;"
                 "select count(*), sum(length(b)) from test.t"))
    # Some of its threads use an io_uring: they are not sampled, nor is a part of the others' beginning (docs/trust.md).
    lab.profile(unsampled=0.05, load=["mariadb-slap", "--no-defaults", "-uroot", f"--socket={socket}", "--concurrency=3",
                      "--number-of-queries=1500", f"--query={LOAD_QUERY}", "--create-schema=test", "--no-drop"])
    lab.note(ask("set max_statement_time = 0.3; select sleep(20)"))
    lab.note(ask("select 1 / 0, inet_ntoa(1), json_value('{\"a\": 5}', '$.a')"))
    lab.note(ask("select * from test.none"))
    lab.end(server, signal.SIGTERM, timeout_s=90)
    log = lab.log("mariadbd")
    lab.note({word: log.count(word) for word in ("[ERROR]", "got signal", "Assertion")})
