# SPDX-License-Identifier: Apache-2.0
"""A program of more than 200 MB, most of it DWARF: named by the agent and given lines by sonde in bounded time and memory.

One object with thousands of functions is compiled, copied under other names, and linked; so it takes seconds.
"""
import json
import os
import subprocess
import sys
import time
import unittest
import urllib.request

import harness
from harness import CLEAN, SONDE, Case

FUNCTIONS = 12_000
COPIES = 32
FEWEST_BYTES = 200 << 20
MOST_SECONDS_OF_AGENT = 10  # for a profile of a second, beyond that second: names are looked up meanwhile
MOST_SECONDS = 30           # sonde's own limit for lines
MOST_BYTES = 600 << 20      # of sonde and of its process that reads DWARF; pages of the file count


def source_of_a_unit():
    """Functions that are called through a table; each has a type, a local and an inlined call of its own."""
    lines = ["static inline __attribute__((always_inline)) unsigned mix(unsigned a, unsigned b) { return (a ^ b) * 2654435761u; }"]
    for i in range(FUNCTIONS):
        lines.append(f"struct request_{i} {{ unsigned first_{i}; unsigned long second_{i}; struct request_{i}* next_{i}; }};\n"
                     f"static __attribute__((noinline)) unsigned handle_request_{i}(unsigned x) {{\n"
                     f"  struct request_{i} r = {{x, x + {i}u, 0}};\n"
                     f"  for (unsigned k = 0; k < 3000; ++k) r.first_{i} = mix(r.first_{i} + k, (unsigned)r.second_{i});\n"
                     f"  return r.first_{i};\n}}")
    table = ",".join(f"handle_request_{i}" for i in range(FUNCTIONS))
    lines.append(f"unsigned (*const table[])(unsigned) = {{{table}}};")
    return "\n".join(lines)


MAIN = """
#include <stdio.h>
%s
int main(void) {
  unsigned (*const* tables[])(unsigned) = {%s};
  volatile unsigned sum = 1;
  for (unsigned i = 1;; ++i) {
    unsigned h = i * 2654435761u;
    sum = tables[(h >> 8) %% %d][(h >> 4) %% %d](sum);
  }
}
"""


def build(directory):
    """Gives the program's path."""
    unit = os.path.join(directory, "unit.c")
    with open(unit, "w", encoding="utf-8") as file:
        file.write(source_of_a_unit())
    run = lambda *command: subprocess.run(command, cwd=directory, check=True, timeout=600)
    run("cc", "-O1", "-g3", "-fno-eliminate-unused-debug-types", "-c", "unit.c")
    for i in range(COPIES):
        run("objcopy", f"--prefix-symbols=u{i}_", "unit.o", f"u{i}.o")
    names = [f"u{i}_table" for i in range(COPIES)]
    with open(os.path.join(directory, "main.c"), "w", encoding="utf-8") as file:
        file.write(MAIN % ("\n".join(f"extern unsigned (*const {name}[])(unsigned);" for name in names),
                           ",".join(names), COPIES, FUNCTIONS))
    run("cc", "-O1", "-g", "main.c", *(f"u{i}.o" for i in range(COPIES)), "-Wl,--build-id", "-o", "big")
    for i in range(COPIES):
        os.unlink(os.path.join(directory, f"u{i}.o"))
    return os.path.join(directory, "big")


@unittest.skipUnless(harness.PRELOAD, "needs the agent")
class BigBinary(Case):
    def lined(self, profile):
        """Gives the answer, its seconds, and the most memory that sonde or its child had at a time."""
        path = os.path.join(self.dir, "lined.json")
        begin = time.monotonic()
        with open(path, "w", encoding="utf-8") as out:
            process = subprocess.Popen([SONDE, "cpu", profile, "--by", "line", "-t", "10000", "--json"], env=self.env,
                                       cwd=self.dir, stdout=out)
            status, usage = os.wait4(process.pid, 0)[1:]
        seconds = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, CLEAN)
        with open(path, encoding="utf-8") as file:
            return json.load(file), seconds, usage.ru_maxrss << 10

    def test_agent_and_command_stay_within_their_bounds(self):
        program = build(self.dir)
        size = os.path.getsize(program)
        self.assertGreater(size, FEWEST_BYTES)
        port = harness.free_port()
        env = {**self.env, "LD_PRELOAD": harness.PRELOAD, "SONDE_TARGET": "big", "SONDE_LISTEN": f"127.0.0.1:{port}",
               "SONDE_RUN_DIR": self.dir, "SONDE_CPU_HZ": "500"}
        self.start([program], env=env)
        harness.wait_until(lambda: harness.answers(port), 20, "the agent")
        begin = time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/debug/pprof/profile?seconds=4", timeout=60) as answer:
            profile = answer.read()
        agent_seconds = time.monotonic() - begin - 4
        with open(os.path.join(self.dir, "big.pb.gz"), "wb") as file:
            file.write(profile)
        agent = self.sonde_json("status", f":{port}")["agent"]
        plain = self.sonde_json("cpu", "big.pb.gz", "--lines", "off", "-t", "10000")
        lined, seconds, peak = self.lined("big.pb.gz")
        print(f"{size >> 20} MiB, {len(plain['rows'])} functions: agent {agent_seconds:.1f} s, "
              f"{agent['memory_bytes'] >> 10} of {agent['memory_limit_bytes'] >> 10} KiB; "
              f"sonde --by line {seconds:.1f} s, {peak >> 20} MiB", file=sys.stderr)
        self.assertGreater(len(plain["rows"]), 300)
        named = [row for row in plain["rows"] if "_handle_request_" in row["name"]]
        self.assertGreater(len(named), 0.95 * len(plain["rows"]))
        with_line = sum(row["flat"] for row in lined["rows"] if "unit.c:" in row.get("place", ""))
        self.assertGreater(with_line, 0.9 * lined["total"])
        self.assertIn("mix", {row["name"] for row in lined["rows"]})
        self.assertLess(agent_seconds, MOST_SECONDS_OF_AGENT)
        self.assertLess(agent["memory_bytes"], agent["memory_limit_bytes"])
        self.assertLess(seconds, MOST_SECONDS)
        self.assertLess(peak, MOST_BYTES)


if __name__ == "__main__":
    unittest.main(verbosity=2)
