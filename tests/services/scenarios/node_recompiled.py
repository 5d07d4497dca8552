# SPDX-License-Identifier: Apache-2.0
"""node --perf-basic-prof that throws its compiled functions away and puts others in their places: in the recording none
is told in a time in which it did not exist."""
import contextlib
import glob
import os
import re
import time

from profile_check import fetch, parse, raw_text

TARGET, NEEDS = "node", ["node", "curl", "go"]
PHASES, SECONDS = 3, 24  # so that a step of the recording, up to 11 s, lies within each phase

# Functions of a phase are named after it, and collected at its end.
WORK = r"""
const [phases, seconds] = process.argv.slice(2).map(Number);
function compile(name, i) {
  return new Function(`return function ${name}(n) {
    let s = ${i}; for (let k = 0; k < n; k++) s = (s * 31 + (k ^ (s >> ${i % 7}))) | 0; return s; }`)();
}
function phase(number) {
  const kept = [];
  for (let i = 0; i < 200; i++) kept.push(compile(`phase${number}_${i}`, i));
  let sum = 0;
  for (const end = Date.now() + seconds * 1000; Date.now() < end;)
    for (const f of kept) sum ^= f(5000);
  return sum;
}
for (let number = 0; number < phases; number++) {
  console.log(`phase ${number}`);
  phase(number);
  for (let i = 0; i < 3; i++) gc();
}
console.log("all");
setTimeout(() => {}, 30000);
"""


def phases_at(lab, socket, when):
    """{phase: samples whose leaf-most compiled function is of it} in the steps that hold that time; None: no name."""
    fetch(f"http://localhost/debug/pprof/profile?from={when:.3f}&to={when + 0.1:.3f}", lab.path("at.pb.gz"), socket)
    counts = {}
    for count, stack in parse(raw_text(lab.path("at.pb.gz"))):
        named = [match[1] for name in stack if (match := re.search(r"phase(\d)_", name))]
        key = int(named[0]) if named else None
        counts[key] = counts.get(key, 0) + count
    return counts


def run(lab):
    process = lab.start(["node", "--perf-basic-prof", "--interpreted-frames-native-stack", "--no-turbo-inlining",
                         "--expose-gc", lab.write("work.js", WORK), str(PHASES), str(SECONDS)])
    began = []
    for text in [*(f"phase {number}" for number in range(PHASES)), "all"]:
        lab.note(f"{text}: {lab.wait_for(lambda: text in lab.log('node'), 2 * SECONDS)}")
        began.append(time.time())
    sockets = glob.glob(lab.path(f"run/*-{process.pid}-*.sock")) if lab.agent else []
    for number in range(PHASES if sockets else 0):
        counts = phases_at(lab, sockets[0], began[number] + 11.5)
        total = sum(counts.values())
        print(f"phase {number}: {counts}")
        wrong = sum(count for phase, count in counts.items() if phase not in (None, number))
        if wrong or counts.get(number, 0) < 0.5 * total:
            lab.profiles.append(f"phase {number} is told as {counts}")
    if lab.agent and not sockets:
        lab.profiles.append("it has no agent")
    process.kill()
    process.wait()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"/tmp/perf-{process.pid}.map")
