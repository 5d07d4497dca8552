# SPDX-License-Identifier: Apache-2.0
"""The crash guard: what may switch the agent off for a program's next start, and what may not.

Two programs of names of their own: one that SIGTERM ends, one that leaves by exit when it gets SIGTERM.
"""
import json
import os
import shutil
import urllib.request

from lab import AGENT_PORT, can_connect

TARGET, NEEDS = "interrupted,regular", ["perl"]
EARLY_ENDS_ALLOWED = 5
BURN = "1 while 1"
BURN_AND_EXIT = "$SIG{TERM} = sub { exit 3 }; 1 while 1"


def run(lab):
    programs = {name: shutil.copy("/usr/bin/perl", lab.path(name)) for name in TARGET.split(",")}
    for number in range(EARLY_ENDS_ALLOWED):
        live(lab, [programs["interrupted"], "-e", BURN], f"early end {number}", "on", spoil=number == 0)
    live(lab, [programs["interrupted"], "-e", BURN], "after five early ends", "off: crash guard")
    for number in range(EARLY_ENDS_ALLOWED + 1):
        live(lab, [programs["regular"], "-e", BURN_AND_EXIT], f"regular end {number}", "on")


def live(lab, command, label, expected, spoil=False):
    """One life of the program; what the agent says of itself is noted as right or as what it was."""
    process = lab.start(command)
    lab.wait_for(lambda: lab.agent and can_connect(AGENT_PORT), 5 if lab.agent else 0.1)
    state = state_of_agent() if lab.agent else expected
    lab.note(f"{label}: {expected if state.startswith(expected) else state}")
    if spoil:
        truncate_files(lab)
    lab.note(f"alive: {process.poll() is None}")
    lab.end(process)


def state_of_agent():
    """What it says of itself. Off means the detectors, too, and that has to be said where findings are asked for."""
    if not can_connect(AGENT_PORT):
        return "the agent does not listen"
    state, searched = answer_to("status")["state"], answer_to("findings")["not_searched"]
    is_off = "nothing is searched now: crash guard" in searched
    return state if is_off == state.startswith("off: crash guard") else f"{state}, but not searched: {searched}"


def answer_to(question):
    with urllib.request.urlopen(f"http://127.0.0.1:{AGENT_PORT}/debug/sonde/{question}", timeout=10) as answer:
        return json.load(answer)


def truncate_files(lab):
    """What anyone with the run directory can do: a mapped file that is cut kills by SIGBUS at the next touch."""
    for base, _, names in os.walk(lab.path("run")):
        for name in names:
            path = os.path.join(base, name)
            if os.path.isfile(path):
                os.truncate(path, 0)
    lab.wait_for(lambda: False, 0.5)
