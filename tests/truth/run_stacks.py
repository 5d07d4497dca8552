# SPDX-License-Identifier: Apache-2.0
"""stacks_host under the agent: far more stacks than there is room for.

The interval rises, most samples find room, and the sums are still the truth: of all blocks, and of the live ones. Each
sample remembers the interval that it was drawn with, so with the longest of them, R, the variance of a sum of bytes is
at most R × that sum; of objects of at least SMALLEST bytes, R / SMALLEST × their number. False alarms of a run: 4 sums
at 6 standard deviations, below 1e-8.
"""
import argparse
import math
import re
import sys
import tempfile

sys.dont_write_bytecode = True

from run_truth import Failed, SAMPLE, Session  # noqa: E402

INTERVAL = 4096  # bytes
SMALLEST = 512
SETTLE_MS, MEASURE_MS = 9000, 1000
MEASURES = 6
DEVIATIONS = 6
MOST_LOST = 0.25  # of what is allocated once the interval has risen; without that it is 98 %
DROPPED = re.compile(r"^# \[dropped: (.*)\]$")
NO_ROOM = ("stack_table_full", "frames_full", "cell_table_full", "live_table_full")


def sums_of(profile):
    """([bytes, objects, live bytes, live objects], bytes of these that found no room).

    Blocks that never came into the table of live ones are told as live in the share of the others, since nobody sees
    them go.
    """
    sums, lost, last = [0] * 4, 0, None
    for line in profile.splitlines():
        if match := SAMPLE.match(line):
            objects, size, all_objects, all_size = map(int, match.groups()[:4])
            last = (all_size, all_objects, size, objects)
            sums = [a + b for a, b in zip(sums, last)]
        elif match := DROPPED.match(line):
            lost += last[0] if match[1] in NO_ROOM else 0
    return sums, lost


class Program(Session):
    def __init__(self, agent, host, scratch):
        # For the answer: text of 10,000 stacks. The tables are of the usual size.
        super().__init__(agent, host, (0, INTERVAL), scratch, SONDE_MEMORY_LIMIT_BYTES="128MiB",
                         SONDE_REGION_BYTES="4MiB")

    def run(self, milliseconds):
        """The books after so long."""
        self.process.stdin.write(f"{milliseconds}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"stacks_host ended early, with {self.process.wait()}")
        return list(map(int, line.split()))

    def interval(self):
        metrics = self.get("/metrics")
        return float(re.search(r"^sonde_heap_interval_bytes (\S+)$", metrics, re.MULTILINE)[1])


def problems_of(before, after, books, longest, lost):
    names = ("bytes", "objects", "live bytes", "live objects")
    for i, name in enumerate(names):
        truth = books[1][i] - books[0][i] if i < 2 else books[1][i]
        estimate = after[i] - before[i] if i < 2 else after[i]
        step = longest if i % 2 == 0 else longest / SMALLEST
        bound = DEVIATIONS * math.sqrt(step * truth) + DEVIATIONS ** 2 * step
        print(f"{name}: {estimate:,}, in truth {truth:,}; at most {bound:,.0f} apart")
        if abs(estimate - truth) > bound:
            yield f"{name} {estimate:,}, in truth {truth:,}: expected at most {bound:,.0f} apart"
    share = lost / (books[1][0] - books[0][0])
    print(f"{100 * share:.2f} % found no room; interval {longest:,.0f} bytes instead of {INTERVAL:,}")
    if share > MOST_LOST:
        yield f"{100 * share:.1f} % of what was allocated found no room, expected at most {100 * MOST_LOST:.0f} %"
    if longest <= INTERVAL:
        yield "the interval did not rise: the program made too few stacks"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", required=True)
    parser.add_argument("--host", required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sonde-stacks-") as scratch:
        with Program(arguments.agent, arguments.host, scratch) as program:
            program.wait_for_agent()
            first = program.run(SETTLE_MS)
            before, lost_before = sums_of(program.profile())
            longest = program.interval()
            for _ in range(MEASURES):
                last = program.run(MEASURE_MS)
                longest = max(longest, program.interval())
            after, lost = sums_of(program.profile())
            longest = max(longest, program.interval())
    problems = list(problems_of(before, after, (first, last), longest, lost - lost_before))
    print("\n".join(problems))
    return int(bool(problems))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        print(error)
        sys.exit(1)
