# SPDX-License-Identifier: Apache-2.0
"""Captures that are cut: lost connections, an agent that pauses or is switched off, processes that end."""
import json
import os
import socket
import subprocess
import threading
import time
import unittest

import harness
from harness import CLEAN, ERROR, SONDE, Case

BUSY_THEN_UNSHARE = """
import ctypes, threading, time
def spin():
    while True:
        sum(range(1000))
threading.Thread(target=spin, daemon=True).start()
time.sleep(4)
# CLONE_NEWUSER: the agent's thread ends for the call, which then fails for the sake of the other thread.
print(ctypes.CDLL(None).unshare(0x10000000), flush=True)
time.sleep(60)
"""


class CutProxy:
    """A port before another one, whose connections can be cut, as a lost port-forward is."""

    def __init__(self, port):
        self.target = port
        self.open = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            self.open += [client, server]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    @staticmethod
    def pump(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()
        self.open.clear()

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # closed before
        self.listener.close()
        self.cut()


class CutConnections(Case):
    def capture(self, seconds):
        """Gives a proxy with a capture of the fake agent behind it."""
        _, port = self.fake_agent()
        proxy = CutProxy(port)
        self.addCleanup(proxy.close)
        process = self.start([SONDE, "cpu", f":{proxy.port}", "-s", str(seconds), "--json"], env=self.env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        harness.wait_for_capture(process)
        return proxy, process

    def test_a_cut_connection_costs_nothing_of_the_window(self):
        proxy, process = self.capture(4)
        proxy.cut()
        text, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, CLEAN, errors)
        self.assertRegex(errors, r"^sonde: \d+\.\d s into the capture the connection was lost; this is the agent's recording")
        answer = json.loads(text)
        self.assertGreaterEqual(answer["window_seconds"], 4)
        self.assertLess(answer["window_seconds"], 7)
        self.assertIn("ParseRequest", answer["rows"][0]["name"])

    def test_who_does_not_answer_again_is_an_error(self):
        proxy, process = self.capture(5)
        proxy.close()
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, ERROR)
        self.assertRegex(errors, r"cut off \d+\.\d s into a 5 s capture: .*; it did not answer again within 10 s")

    def test_another_process_at_the_same_address_is_not_taken_for_the_one_that_was_asked(self):
        proxy, process = self.capture(6)
        time.sleep(2)
        _, proxy.target = self.fake_agent()
        proxy.cut()
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, ERROR)
        self.assertRegex(errors, r"cut off \d+\.\d s into .*; the process that answers now was started later")


@unittest.skipUnless(harness.PRELOAD, "needs the agent")
class CutCaptures(Case):
    def host(self, listen=""):
        env = {**self.env, "LD_PRELOAD": harness.PRELOAD, "SONDE_TARGET": "python3.11", "SONDE_RUN_DIR": self.dir,
               "SONDE_LISTEN": listen}
        host = self.start(["/usr/bin/python3", "-c", BUSY_THEN_UNSHARE], env=env, stdout=subprocess.PIPE)
        harness.wait_until(lambda: [name for name in os.listdir(self.dir) if name.endswith(".sock")], 20, "a socket")
        return host

    def test_a_pause_of_the_agent_is_bridged_by_the_recording(self):
        host = self.host()
        _, errors = self.sonde("cpu", host.pid, "-s", "7", "-o", "cut.pb.gz", env={"SONDE_RUN_DIR": self.dir})
        self.assertRegex(errors, r"\d\.\d s into the capture the agent's thread had to pause for the service; this is the "
                                 r"agent's recording")
        self.assertEqual(host.stdout.readline(), b"-1\n")
        profile = self.sonde_json("cpu", "./cut.pb.gz")
        # All of what was asked for, in whole steps of the recording.
        self.assertGreaterEqual(profile["window_seconds"], 6)
        self.assertGreater(profile["samples"], 5)

    def test_what_was_asked_for_outlives_a_pause_of_the_agent(self):
        host = self.host()
        env = {"SONDE_RUN_DIR": self.dir}
        self.sonde("set", host.pid, "cpu_hz=37", env=env)
        self.sonde("off", host.pid, env=env)
        self.assertEqual(host.stdout.readline(), b"-1\n")  # the agent's thread has paused
        self.assertIn("kill switch", self.sonde_json("status", host.pid, env=env)["state"])
        self.sonde("on", host.pid, env=env)
        harness.wait_until(lambda: self.sonde_json("status", host.pid, env=env)["cpu"]["rate_hz"] == 37, 10, "the rate")

    def test_a_gap_is_no_part_of_the_duration_and_is_told(self):
        port = harness.free_port()
        host = self.host(f"127.0.0.1:{port}")
        proxy = CutProxy(port)
        self.addCleanup(proxy.close)
        process = self.start([SONDE, "cpu", f":{proxy.port}", "-s", "14", "-o", "gap.pb.gz"], cwd=self.dir, env=self.env,
                             text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        harness.wait_for_capture(process)
        proxy.cut()
        environment = {"SONDE_RUN_DIR": self.dir}
        self.sonde("off", host.pid, env=environment)
        time.sleep(4)
        self.sonde("on", host.pid, env=environment)
        text, errors = process.communicate(timeout=40)
        self.assertEqual(process.returncode, CLEAN, errors)
        self.assertIn("the connection was lost", errors)
        self.assertRegex(text, r"gap \d\d:\d\d:\d\d-\d\d:\d\d:\d\d UTC \([34567][.\d]*s\): ")
        saved = self.sonde_json("cpu", "./gap.pb.gz")
        self.assertLess(saved["window_seconds"], 13)
        self.assertGreater(saved["window_seconds"], 6)

    def test_what_never_comes_back_is_an_error(self):
        host = self.host()
        process = self.start([SONDE, "cpu", str(host.pid), "-s", "20"], env={**self.env, "SONDE_RUN_DIR": self.dir},
                             text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        harness.wait_for_capture(process)
        host.kill()
        host.wait()
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, ERROR)
        self.assertRegex(errors, r"cut off \d+\.\d s into a 20 s capture: .*; the process has ended")


if __name__ == "__main__":
    unittest.main(verbosity=2)
