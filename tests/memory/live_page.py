# SPDX-License-Identifier: Apache-2.0
"""A program under the agent, and the page of its memory. Used by the tests of this folder."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

AGENT = os.environ["SONDE_PRELOAD"]
SONDE = os.environ["SONDE"]
MIB = 1 << 20
PATH = "/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def can_connect(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class LivePage(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="sonde-m-", dir="/tmp")
        os.chmod(self.dir, 0o777)
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.agent = shutil.copy(AGENT, os.path.join(self.dir, "libsonde.so"))

    def wait_until(self, condition, what, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.1)
        self.fail(f"{what} did not come true within {seconds} s")

    def start(self, command, target, preload=("agent",), user=None, settings=None, **options):
        """Gives the port of the agent once it answers."""
        self.port = free_port()
        libraries = ":".join(self.agent if name == "agent" else name for name in preload)
        env = {"PATH": PATH, "HOME": self.dir, "LC_ALL": "C", "LD_PRELOAD": libraries, "SONDE_TARGET": target,
               "SONDE_LISTEN": f"127.0.0.1:{self.port}", "SONDE_RUN_DIR": os.path.join(self.dir, f"run{self.port}"), **(settings or {})}
        with open(os.path.join(self.dir, "log"), "ab") as log:
            process = subprocess.Popen(command, env=env, cwd=self.dir, stderr=log,
                                       user=user, group=user, extra_groups=[] if user else None,
                                       **{"stdin": subprocess.DEVNULL, "stdout": log, **options})
        self.addCleanup(self.end, process)
        self.wait_until(lambda: can_connect(self.port), f"the agent in {target}")
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout:
            process.stdout.close()

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return json.load(answer)

    def get_text(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return answer.read().decode()

    def page(self):
        page = self.get("/debug/sonde/memory")
        self.assertEqual(sum(page["parts"].values()), page["rss_bytes"])
        cgroup = page["cgroup"]
        if cgroup["version"]:
            self.assertEqual(cgroup["rss_bytes"] + cgroup["page_cache_bytes"] + cgroup["tmpfs_bytes"] + cgroup["kernel_bytes"] +
                             cgroup["other_bytes"], cgroup["current_bytes"])
        return page

    def tell(self, name, page):
        parts = ", ".join(f"{part} {size / MIB:.1f}" for part, size in page["parts"].items())
        print(f"{name}: RSS {page['rss_bytes'] / MIB:.1f} MiB = {parts}; read in {page['cost_ms']:.0f} ms of CPU",
              flush=True)
