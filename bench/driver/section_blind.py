# SPDX-License-Identifier: Apache-2.0
"""The blind spot of samplers that ride the kernel's tick: CPU time in system calls that sleep and wake."""
import os
import sys

from measure import Series
from report import Row

TITLE = "Blind spot: code that sleeps and wakes"
NOTE = ("A thread sleeps 20 µs again and again, without or with 60 µs of user code in between; 1000 Hz. *Sum*: "
        "the profile's, in percent of the CPU time that the kernel reports. *User code*: its share in the profile "
        "minus its true share, in points of the whole. A sampler without a blind spot shows 100 % and 0 points. "
        "Measured, not judged; code that does not sleep all the time is judged by tests/accuracy.")

SECONDS = 8
USER_CODE = "spin_between_sleeps"
CASES = {"sleep": "no user code", "sleep_some": "60 µs of user code"}

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "accuracy"))


def run(lab, case):
    from session import Session
    with Session(lab.agent, lab.program("accuracy_host"), case, 1000, lab.scratch) as session:
        profile, truth = session.measure(2 if lab.quick else SECONDS)
    true_ns = truth["process"] - truth["agent"]
    user = {"seen": profile.ns_in(USER_CODE) / profile.ns, "true": truth[USER_CODE] / true_ns}
    return {"sum": 100 * profile.ns / true_ns, "bias": 100 * (user["seen"] - user["true"]),
            "blocked": 100 * profile.ns_in("[signal blocked]") / profile.ns, "true": 100 * user["true"]}


def measure(lab):
    if not lab.have("go", "go tool pprof (package golang-go)"):
        return []
    rows = []
    for case, name in CASES.items():
        runs = [run(lab, case) for _ in range(lab.rounds(3, 1))]
        values = {key: [one[key] for one in runs] for key in runs[0]}
        rows.append(Row("sum", name, "%", Series(values["sum"], values["sum"]), None, ""))
        if values["true"][0] > 0:
            rows.append(Row("true share of user code", name, "%", Series(values["true"], values["true"]), None, ""))
            rows.append(Row("user code", name, "points", Series(values["bias"], values["bias"]), None, ""))
            rows.append(Row("[signal blocked]", name, "%", Series(values["blocked"], values["blocked"]), None, ""))
    return rows
