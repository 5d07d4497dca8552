#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Go programs with net/http/pprof beside the agent and under it, in one network namespace, in either order."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import life_test
from run_host import isolate_network

ARGUMENTS = None
GO_PORT, AGENTS_PORT = 6060, 7663
SECONDS_OF_LIFE = 60


def get(port, url, timeout_s=20):
    return urllib.request.urlopen(f"http://127.0.0.1:{port}{url}", timeout=timeout_s).read()


def until(truth, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if truth():
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


class GoTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="sonde-go-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def start_go(self, port, delay_s=0, **environment):
        process = subprocess.Popen([ARGUMENTS.go_program, str(port), str(SECONDS_OF_LIFE), str(delay_s)],
                                   env={"PATH": "/usr/bin:/bin", **environment}, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def start_host(self):
        host = life_test.Host(self.directory, SONDE_LISTEN=f"127.0.0.1:{AGENTS_PORT}")
        self.addCleanup(host.kill)
        return host

    def assert_both_serve(self, host):
        self.assertTrue(until(lambda: b"profile" in get(GO_PORT, "/debug/pprof/")), "Go's own pprof answers")
        self.assertTrue(until(lambda: b"state" in get(AGENTS_PORT, "/debug/sonde/status")), "the agent answers")
        profile = life_test.gzip.decompress(get(GO_PORT, "/debug/pprof/profile?seconds=1"))
        self.assertIn(b"burnInnerLoop", profile)
        host.order("burn", 1500)
        profile = life_test.gzip.decompress(get(AGENTS_PORT, "/debug/pprof/profile?seconds=1"))
        self.assertIn(b"Burn", profile)
        self.assertNotIn(b"burnInnerLoop", profile)
        self.assertEqual(host.answer(), "done")

    def state_of_port(self, host):
        return next(one["state"] for one in host.status()["listeners"] if one["address"].endswith(str(AGENTS_PORT)))

    def test_go_first(self):
        self.start_go(GO_PORT)
        self.assertTrue(until(lambda: get(GO_PORT, "/debug/pprof/")))
        self.assert_both_serve(self.start_host())

    def test_the_agent_first(self):
        host = self.start_host()
        self.assertTrue(until(lambda: get(AGENTS_PORT, "/healthz")))
        self.start_go(GO_PORT)
        self.assert_both_serve(host)

    def test_a_neighbour_that_has_the_agents_port_keeps_it(self):
        neighbour = self.start_go(AGENTS_PORT)
        self.assertTrue(until(lambda: get(AGENTS_PORT, "/debug/pprof/")))
        host = self.start_host()
        self.assertIn("in use by another process", self.state_of_port(host))
        self.assertIn(b"profile", get(AGENTS_PORT, "/debug/pprof/"))
        neighbour.kill()
        self.assertTrue(until(lambda: self.state_of_port(host) == "listening"), "taken when it is free")

    def test_a_go_program_under_the_agent_may_have_the_agents_port(self):
        name = os.path.basename(ARGUMENTS.go_program)
        go = self.start_go(AGENTS_PORT, delay_s=2, LD_PRELOAD=ARGUMENTS.agent, SONDE_TARGET=name, SONDE_RUN_DIR=self.directory)
        self.assertTrue(until(lambda: b"goroutine" in get(AGENTS_PORT, "/debug/pprof/")), "Go serves on it")
        self.assertIsNone(go.poll())
        agent = life_test.Host.__new__(life_test.Host)
        agent.directory = self.directory
        self.assertTrue(until(lambda: "in use by another" in self.state_of_port(agent)), "and the agent says so")
        # Each by a signal of its own.
        ours = life_test.ask(agent.socket(), "/debug/pprof/profile?seconds=1")
        self.assertIn(b"burnInnerLoop", ours)
        self.assertIn(b"runtime.goexit", ours, "down to the goroutine's start")
        self.assertIn(b"burnInnerLoop", life_test.gzip.decompress(get(AGENTS_PORT, "/debug/pprof/profile?seconds=1")))
        self.assertIsNone(go.poll())


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", required=True, type=os.path.abspath)
    parser.add_argument("--hosts", required=True, type=os.path.abspath, help="the directory of the host programs")
    parser.add_argument("--go-source", required=True, type=os.path.abspath)
    ARGUMENTS, rest = parser.parse_known_args()
    life_test.ARGUMENTS = ARGUMENTS
    if os.geteuid() != 0:
        print("skipped: needs root for a network name space")
        return 77
    with tempfile.TemporaryDirectory(prefix="sonde-go-build-") as work:
        ARGUMENTS.go_program = os.path.join(work, "go_burner")
        environment = {**os.environ, "HOME": work, "GOCACHE": os.environ.get("GOCACHE", os.path.join(work, "cache"))}
        subprocess.run(["go", "build", "-o", ARGUMENTS.go_program, ARGUMENTS.go_source], check=True, env=environment)
        isolate_network()
        done = unittest.main(argv=[sys.argv[0], *rest], verbosity=2, exit=False)
    return 0 if done.result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
