# SPDX-License-Identifier: Apache-2.0
"""node: worker threads, child processes, crypto in libuv's pool; then with its own profiler (--prof) on SIGPROF."""
import glob

TARGET, NEEDS = "node", ["node"]

WORK = r"""
const { Worker, isMainThread, parentPort, workerData } = require("worker_threads");
const { execFileSync } = require("child_process");
const crypto = require("crypto");
function burn(ms) { const end = Date.now() + ms; let s = 0; while (Date.now() < end) for (let i = 0; i < 1e4; i++) s += i % 7; return s > 0; }
if (!isMainThread) { burn(workerData); parentPort.postMessage("worker done"); } else {
  console.log(execFileSync("/bin/echo", ["child"]).toString().trim());
  let left = 2;
  const ms = Number(process.argv[2]);
  for (let i = 0; i < 2; i++) new Worker(__filename, { workerData: ms }).on("message", (m) => {
    console.log(m); if (--left === 0) console.log(crypto.pbkdf2Sync("a", "b", 20000, 16, "sha512").toString("hex")); });
  crypto.pbkdf2("x", "y", 100000, 16, "sha512", (e, key) => console.log(key.length));
  setTimeout(() => console.log("timer"), ms + 3000);
}
"""


def run(lab):
    script = lab.write("work.js", WORK)
    process = lab.start(["node", script, "5000"])
    lab.wait_for(lambda: False, 1.5)
    lab.profile(seconds=3)
    lab.note(f"ended with {process.wait(60)}")
    lab.note("\n".join(sorted(lab.log("node").splitlines())))
    done = lab.run(["node", "--prof", script, "1000"], preload=True)
    lab.note(f"--prof: {done.returncode} {sorted(done.stdout.splitlines())} {done.stderr}")
    ticks = sum(line.startswith("tick,") for name in glob.glob(lab.path("isolate*.log")) for line in open(name, errors="replace"))
    lab.note(f"its own profiler saw ticks: {ticks > 200}")
