# SPDX-License-Identifier: Apache-2.0
"""What the tests share that run a host under the real agent and ask it by the real command."""
import ctypes
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest

CLONE_NEWIPC = 0x08000000
AGENT, SONDE, HOST = (os.path.realpath(path) for path in sys.argv[1:4])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class HostCase(unittest.TestCase):
    def setUp(self):
        # Hosts are killed, maybe while their agent works: its crash guard's page must be of one test.
        ctypes.CDLL(None).unshare(CLONE_NEWIPC)

    def start_host(self, arguments, settings, **options):
        """The host as named target, and the words of the line by which it says that it is ready."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.port, self.run_dir = free_port(), directory.name
        environment = dict(os.environ, LD_PRELOAD=AGENT, SONDE_TARGET=os.path.basename(HOST), SONDE_RUN_DIR=self.run_dir,
                           SONDE_LISTEN=f"127.0.0.1:{self.port}", **settings)
        process = subprocess.Popen([HOST, *arguments], env=environment, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, **options)
        self.addCleanup(self.end, process)
        words = process.stdout.readline().split()
        self.assertEqual(words[:1], ["ready"])
        return process, words

    @staticmethod
    def end(process):
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()

    def sonde(self, *arguments):
        done = subprocess.run([SONDE, *arguments], capture_output=True, text=True, timeout=60, check=False,
                              env=dict(os.environ, SONDE_RUN_DIR=self.run_dir))
        return done.returncode, done.stdout

    def wait_for(self, condition, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.3)
        self.fail(f"did not come true within {seconds} s{self.state()}")
        return None

    def state(self):
        """What a failed wait should tell besides."""
        return ""
