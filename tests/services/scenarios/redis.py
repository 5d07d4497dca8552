# SPDX-License-Identifier: Apache-2.0
"""redis-server: load, a background save (fork), an append-only file, shutdown by command."""
from lab import can_connect

TARGET, NEEDS, PORT = "redis-server", ["redis-server", "redis-benchmark", "redis-cli"], "16379"


def run(lab):
    def ask(*words):
        return lab.run(["redis-cli", "-p", PORT, *words]).stdout.strip()

    server = lab.start(["redis-server", "--port", PORT, "--dir", lab.directory, "--appendonly", "yes"],
                       ready=lambda: can_connect(int(PORT)))
    lab.note(ask("set", "key", "value"))
    lab.note(ask("get", "key"))
    load = ["redis-benchmark", "-p", PORT, "-q", "-c", "20", "-t", "set,get"]
    lab.note(f"benchmark {lab.run([*load, '-n', '20000']).returncode}")
    lab.profile(load=[*load, "-n", "60000"], unexplained=0.05)
    lab.note(ask("bgsave"))
    done = lab.wait_for(lambda: "rdb_bgsave_in_progress:0" in ask("info", "persistence"))
    lab.note(f"saved {done}, status ok {'rdb_last_bgsave_status:ok' in ask('info', 'persistence')}")
    lab.note(ask("debug", "sleep", "0.3"))
    lab.note(f"clients {ask('info', 'clients').count('connected_clients:1')}")
    lab.note(f"shutdown '{ask('shutdown')}'")
    lab.note(f"ended with {server.wait(30)}")
    lab.note(f"crash reports {lab.log('redis-server').count('BUG REPORT')}")
