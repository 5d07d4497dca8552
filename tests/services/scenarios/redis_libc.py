# SPDX-License-Identifier: Apache-2.0
"""redis-server on libc's malloc with a known number of keys of a known size: the heap profile says who holds them.

Debian's program takes malloc from libjemalloc.so.2 by the ordinary rules of linking. An empty library of that name
in front leaves it to libc.
"""
from lab import can_connect

TARGET, NEEDS, PORT = "redis-server", ["redis-server", "redis-cli", "gcc"], "16380"
KEYS, SIZE = 40000, 2000
HELD = KEYS * SIZE
# What redis asks of jemalloc: refused, as a jemalloc without statistics would.
EMPTY = """#include <errno.h>
#include <stddef.h>
int mallctl(void) { return ENOENT; }
void malloc_stats_print(void) {}
size_t nallocx(size_t size, int flags) { return flags ? 0 : (size + 15) / 16 * 16; }
"""
FILL = f"for i = 1, {KEYS} do redis.call('set', 'key:' .. i, string.rep('x', {SIZE})) end return redis.call('dbsize')"


def run(lab):
    def ask(*words):
        return lab.run(["redis-cli", "-p", PORT, *words]).stdout.strip()

    built = lab.run(["gcc", "-shared", "-fPIC", "-o", lab.path("libjemalloc.so.2"), lab.write("empty.c", EMPTY)])
    lab.note(f"built {built.returncode} {built.stderr}")
    server = lab.start(["redis-server", "--port", PORT, "--dir", lab.directory, "--save", ""],
                       ready=lambda: can_connect(int(PORT)), LD_LIBRARY_PATH=lab.directory)
    lab.wait_for(lambda: False, 1.5)  # what is allocated before the agent is up is unknown to it
    lab.note(ask("eval", FILL, "0"))
    lab.note(ask("strlen", "key:77"))
    lab.profile(load=["redis-benchmark", "-p", PORT, "-q", "-c", "20", "-t", "get", "-n", "80000"],
                holders={"createStringObject|dbAdd|setKey|setCommand": (0.85 * HELD, 1.25 * HELD)}, unexplained=0.05)
    lab.note(f"shutdown '{ask('shutdown', 'nosave')}'")
    lab.note(f"ended with {server.wait(30)}")
