# SPDX-License-Identifier: Apache-2.0
"""node --perf-basic-prof: its compiled functions are named in the profile, and the sum comes out as without the agent."""
TARGET, NEEDS = "node", ["node"]

WORK = r"""
function hotInJavaScript(n) { let s = 0; for (let i = 0; i < n; i++) s = (s * 31 + (i ^ (s >> 3))) | 0; return s; }
function driver(end) { let last = 0; while (Date.now() < end) last = hotInJavaScript(300000); return last; }
console.log("ready");
console.log(driver(Date.now() + 8000));
"""


def run(lab):
    # A function that is inlined into its caller has no frame.
    process = lab.start(["node", "--perf-basic-prof", "--interpreted-frames-native-stack", "--no-turbo-inlining",
                         lab.write("work.js", WORK)])
    lab.wait_for(lambda: "ready" in lab.log("node"))
    lab.profile(seconds=4, functions={"hotInJavaScript": 0.5})
    lab.note(f"ended with {process.wait(60)}")
    lab.note(lab.log("node"))
