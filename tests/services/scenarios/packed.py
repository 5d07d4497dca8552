# SPDX-License-Identifier: Apache-2.0
"""Programs packed by UPX, whose code lies in memory without a file: redis-server, and one that is not relocated. They
run as without the agent; stacks reach main, and what the program exports is named."""
import os
import shutil

from lab import can_connect

UPX = os.environ.get("UPX", "upx-ucl")
TARGET, NEEDS, PORT = "packed-redis", [UPX, "cc", "redis-server", "redis-benchmark", "redis-cli"], "16379"

# The table makes it large enough to be packed.
FIXED = r"""
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char kTable[300000] = {1};

__attribute__((noinline)) unsigned exportedSpin(unsigned rounds) {
  unsigned sum = 0;
  for (unsigned i = 0; i < rounds; i++) sum = sum * 31 + (i ^ kTable[sum % sizeof kTable]);
  return sum;
}
__attribute__((noinline)) static unsigned hiddenCaller(unsigned rounds) { return exportedSpin(rounds) + 1; }

int main(void) {
  unsigned sum = 0;
  puts("ready");
  fflush(stdout);
  for (time_t end = time(NULL) + 10; time(NULL) < end;) {
    sum += hiddenCaller(300000);
    usleep(500);
  }
  return sum == 0;
}
"""


def pack(lab, program, name):
    program = os.path.realpath(program)  # upx follows no link
    packed = lab.run([UPX, "-q", "-o", lab.path(name), program], LD_LIBRARY_PATH=os.path.dirname(UPX))
    os.chmod(lab.path(name), 0o755)
    lab.note(f"packed {name}: {packed.returncode}, smaller {os.path.getsize(lab.path(name)) < os.path.getsize(program)}")
    return lab.path(name)


def run_redis(lab):
    def ask(*words):
        return lab.run(["redis-cli", "-p", PORT, *words]).stdout.strip()

    server = lab.start([pack(lab, shutil.which("redis-server"), TARGET), "--port", PORT, "--dir", lab.directory],
                       ready=lambda: can_connect(int(PORT)))
    lab.note(ask("set", "key", "value"))
    load = ["redis-benchmark", "-p", PORT, "-q", "-c", "20", "-t", "set,get"]
    lab.note(f"benchmark {lab.run([*load, '-n', '20000']).returncode}")
    lab.profile(load=[*load, "-n", "60000"], functions={"^aeMain$": 0.9, "^readQueryFromClient$": 0.1})
    lab.note(ask("bgsave"))
    done = lab.wait_for(lambda: "rdb_bgsave_in_progress:0" in ask("info", "persistence"))
    lab.note(f"saved {done}, status ok {'rdb_last_bgsave_status:ok' in ask('info', 'persistence')}")
    lab.note(f"shutdown '{ask('shutdown')}'")
    lab.note(f"ended with {server.wait(30)}")
    lab.note(f"crash reports {lab.log(TARGET).count('BUG REPORT')}")


def run_fixed(lab):
    built = lab.run(["cc", "-O1", "-no-pie", "-fno-pie", "-rdynamic", "-Wl,-z,noseparate-code", "-o", lab.path("fixed"),
                     lab.write("fixed.c", FIXED)])  # of few segments, else it does not shrink
    lab.note(f"built {built.returncode} {built.stderr}")
    process = lab.start([pack(lab, lab.path("fixed"), "packed-fixed")], SONDE_TARGET="packed-fixed",
                        ready=lambda: "ready" in lab.log("packed-fixed"))
    # What is not exported is told by its place.
    lab.profile_process(process.pid, seconds=4, functions={"^exportedSpin$": 0.5, r"^packed-fixed\+0x": 0.5})
    lab.note(f"ended with {process.wait(30)}")


def run(lab):
    run_redis(lab)
    run_fixed(lab)
