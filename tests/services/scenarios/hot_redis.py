# SPDX-License-Identifier: Apache-2.0
"""Who burns the core? `KEYS *` in a loop against a redis that serves others, too."""
import subprocess

from hot_check import SENSITIVE, SONDE, check_finding, check_hot, check_later, favour
from lab import can_connect

TARGET, NEEDS, PORT = "redis-server", ["redis-server", "redis-cli", "redis-benchmark"], "16381"
NEEDS = [*NEEDS, *([] if SONDE else ["sonde"])]
FILL = "for i = 1, 200000 do redis.call('set', 'key:' .. i, i) end return redis.call('dbsize')"


def run(lab):
    def ask(*words):
        return lab.run(["redis-cli", "-p", PORT, *words]).stdout.strip()

    server = lab.start(["redis-server", "--port", PORT, "--dir", lab.directory, "--save", ""], **SENSITIVE,
                       ready=lambda: can_connect(int(PORT)))
    favour(server)
    lab.note(ask("eval", FILL, "0"))
    others = subprocess.Popen(["redis-benchmark", "-p", PORT, "-q", "-c", "5", "-t", "get", "-n", "1000000000"],
                              env=lab.environment(False), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    lab.processes.append(others)
    lab.note(lab.run(["redis-benchmark", "-p", PORT, "-q", "-c", "1", "-n", "20", "keys", "*"]).returncode)
    check_hot(lab, "KEYS *", server.pid, ["keysCommand"], least=0.4, name="redis-server")
    check_finding(lab, "KEYS *", server.pid, server.pid, "keysCommand", True, least=0.2)
    others.kill()
    others.wait()
    lab.wait_for(lambda: False, 3)
    check_hot(lab, "KEYS * some seconds ago", server.pid, ["keysCommand"], least=0.4, name="redis-server")
    check_later(lab, "KEYS *, over", server.pid, server.pid, "keysCommand", least=0.2)
    lab.note(f"shutdown '{ask('shutdown', 'nosave')}'")
    lab.note(f"ended with {server.wait(30)}")
