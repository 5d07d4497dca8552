# SPDX-License-Identifier: Apache-2.0
"""Compares walks with gdb's, frame by frame.

  compare_gdb.py TORTURE SAMPLES     runs gdb on TORTURE; gdb runs this file again, inside

gdb stops at each SampleTaken(frames, depth), which is called in the signal handler; the frames
before the signal's are the handler's. A frame of gdb's is what the walk has: the pc where the
signal came, return addresses further out, pc + 1 behind another signal. Exit status: 0 when at
least 99 % of the stacks are the same to the end, or differ only where gdb stops before main; 77
without gdb.
"""
import os
import shutil
import subprocess
import sys

MOST_REPORTED = 5
MARK = "compare:"  # what is not gdb's own chatter


def stack_of(gdb):
    """gdb's frames outside the sampling handler, and whether they reach main or the first frame."""
    frame = gdb.newest_frame()
    while frame is not None and frame.type() != gdb.SIGTRAMP_FRAME:
        frame = frame.older()
    frame = frame.older() if frame is not None else None
    pcs, interrupted, reached = [], False, False
    while frame is not None:
        # Inlined functions, and tail calls that gdb infers, have no frame on the stack.
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            pcs.append(frame.pc() + (1 if interrupted else 0))
            interrupted = frame.type() == gdb.SIGTRAMP_FRAME
        reached = frame.name() == "main" or (
            frame.unwind_stop_reason() == gdb.FRAME_UNWIND_OUTERMOST)
        frame = frame.older()
    return pcs, reached


def sample_of(gdb):
    depth = int(gdb.parse_and_eval("$rsi"))
    at = int(gdb.parse_and_eval("$rdi"))
    data = gdb.selected_inferior().read_memory(at, 8 * depth).tobytes()
    return [int.from_bytes(data[i:i + 8], "little") for i in range(0, len(data), 8)]


def same(ours, theirs):
    """gdb may leave out what is outside main; so far the two have to agree."""
    return len(theirs) > 0 and ours[:len(theirs)] == theirs


class Counts:
    def __init__(self):
        self.all = self.same = self.gdb_short = self.frames = 0

    def add(self, ours, theirs, gdb_reached):
        self.all += 1
        self.frames += len(theirs)
        if same(ours, theirs) and gdb_reached:
            self.same += 1
        elif not gdb_reached:
            self.gdb_short += 1
        elif self.all - self.same - self.gdb_short <= MOST_REPORTED:
            print(MARK, "ours", [hex(pc) for pc in ours], "gdb", [hex(pc) for pc in theirs])

    def good(self, wanted):
        compared = self.all - self.gdb_short
        return self.all >= wanted and compared * 2 > self.all and self.same * 100 >= compared * 99


def inside(gdb):
    samples = int(os.environ["SONDE_COMPARE_SAMPLES"])
    for command in ("set pagination off", "set confirm off", "set backtrace limit 200",
                    "handle SIGPROF SIGUSR1 nostop noprint pass", "break *SampleTaken",
                    f"run {samples} 20000"):
        gdb.execute(command, to_string=True)
    counts = Counts()
    while gdb.selected_thread() is not None and counts.all < samples:
        counts.add(sample_of(gdb), *stack_of(gdb))
        gdb.execute("continue", to_string=True)
    print(f"{MARK} {counts.all} stacks, {counts.frames} frames: {counts.same} the same, "
          f"{counts.gdb_short} where gdb did not reach main or the first frame")
    sys.stdout.flush()
    if gdb.selected_thread() is not None:
        gdb.execute("kill", to_string=True)
    os._exit(0 if counts.good(samples) else 1)


def main():
    if shutil.which("gdb") is None:
        print("gdb is not here")
        return 77
    environment = dict(os.environ, SONDE_COMPARE_SAMPLES=sys.argv[2], PYTHONNOUSERSITE="1")
    command = ["gdb", "-nx", "-batch", "-x", os.path.abspath(__file__), sys.argv[1]]
    result = subprocess.run(command, env=environment, timeout=600, check=False, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    told = [line for line in result.stdout.splitlines() if line.startswith(MARK)]
    print("\n".join(told or [result.stdout]))
    return result.returncode


if "SONDE_COMPARE_SAMPLES" in os.environ:
    import gdb as the_gdb
    inside(the_gdb)
else:
    sys.exit(main())
