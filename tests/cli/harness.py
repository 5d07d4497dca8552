# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests of sonde share: running it, and the servers that it talks to.

Paths come from the environment, set by CTest: SONDE, SONDE_FAKE_AGENT, SONDE_SOURCE, SONDE_PRELOAD (may be
empty). Every server listens on loopback, ends by its own clock or by its pid, and never outlives a test.
"""
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

SONDE = os.path.realpath(os.environ["SONDE"])
FAKE_AGENT = os.environ["SONDE_FAKE_AGENT"]
SOURCE = os.environ["SONDE_SOURCE"]
PRELOAD = os.environ.get("SONDE_PRELOAD", "")
CLEAN, ERROR, USAGE, FINDING, INCONCLUSIVE = 0, 1, 2, 3, 4

sys.path.insert(0, os.path.join(SOURCE, "tests", "shared"))
from priority import before_others


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=10, what="the condition"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true within {seconds} s")


def sockets_of(pid):
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue  # closed meanwhile
        if link.startswith("socket:"):
            found.add(link)
    return found


def wait_for_capture(process):
    """Until the command has had a socket open for a second: what it asks besides is answered at once."""
    seen = {}  # when each was seen first

    def lasts():
        now = time.monotonic()
        for link in sockets_of(process.pid):
            if now - seen.setdefault(link, now) >= 1:
                return True
        return False
    wait_until(lasts, 20, "the capture")


def children_of(pid):
    """Pids whose parent is `pid`."""
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        if int(text[text.rindex(")") + 2:].split()[1]) == pid:
            found.append(int(path.split("/")[2]))
    return found


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Case(unittest.TestCase):
    """A directory of its own, and processes that end with the test."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="sonde-cli-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        kept = {"PATH", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}
        self.env = {name: value for name, value in os.environ.items() if name in kept}
        self.env["HOME"] = self.dir

    def start(self, arguments, **options):
        process = subprocess.Popen(arguments, **options)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()

    def sonde(self, *arguments, code=CLEAN, env=None, timeout=60):
        """Runs sonde, checks its exit code, gives (stdout, stderr)."""
        done = subprocess.run([SONDE, *map(str, arguments)], env={**self.env, **(env or {})}, cwd=self.dir,
                              capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                              check=False)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done.stdout, done.stderr

    def sonde_json(self, *arguments, **options):
        return json.loads(self.sonde(*arguments, "--json", **options)[0])

    def fake_agent(self, *settings, unix="", host=False):
        """Gives (process, port)."""
        port = free_port()
        arguments = [FAKE_AGENT, "--seconds", "120", f"SONDE_LISTEN=127.0.0.1:{port}", *settings]
        arguments += ["--unix", "unix:" + unix] if unix else []
        arguments += ["--host"] if host else []
        process = self.start(arguments, stdout=subprocess.PIPE, text=True, env=self.env)
        self.assertIn("listening", process.stdout.readline())
        return process, port

    def go_program(self):
        """A real Go server with net/http/pprof that burns CPU; gives (process, port)."""
        if not shutil.which("go"):
            self.skipTest("golang-go is not installed")
        port = free_port()
        process = self.start([go_binary(), str(port), "60"], env=self.env, preexec_fn=before_others)
        wait_until(lambda: answers(port), what="the Go server")
        return process, port


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


_go_binary = None


def go_binary():
    """Built once a run of the tests, statically."""
    global _go_binary
    if _go_binary is None:
        directory = tempfile.mkdtemp(prefix="sonde-go-")
        _go_binary = os.path.join(directory, "burner")
        env = {**os.environ, "GO111MODULE": "off", "CGO_ENABLED": "0", "GOFLAGS": "",
               "GOCACHE": os.path.join(tempfile.gettempdir(), "sonde-go-cache")}
        subprocess.run(["go", "build", "-o", _go_binary, os.path.join(SOURCE, "tests/cli/go_burner.go")],
                       env=env, check=True, timeout=300)
    return _go_binary


def kubectls():
    """Every kubectl of this machine: {version or "default": path}."""
    directories = os.environ.get("PATH", "").split(":")
    directories += ["/usr/lib/google-cloud-sdk/bin", "/snap/bin"]
    found = {}
    for directory in directories:
        for path in sorted(glob.glob(os.path.join(directory, "kubectl*"))):
            match = re.fullmatch(r"kubectl(\.1\.\d+)?", os.path.basename(path))
            if match and os.access(path, os.X_OK):
                found.setdefault((match[1] or ".default")[1:], os.path.realpath(path))
    return found


class KubeCase(Case):
    """A stub cluster with one pod whose port 7663 is a fake agent, and one kubectl in PATH."""

    kubectl_path = ""

    def setUp(self):
        super().setUp()
        if not self.kubectl_path:
            self.skipTest("no kubectl on this machine")
        binaries = os.path.join(self.dir, "bin")
        os.mkdir(binaries)
        os.symlink(self.kubectl_path, os.path.join(binaries, "kubectl"))
        self.env["PATH"] = f"{binaries}:/usr/bin:/bin"
        self.env["KUBECONFIG"] = os.path.join(self.dir, "kubeconfig")

    def cluster(self, pods, *flags, version="1.32.4"):
        pods_file = os.path.join(self.dir, "pods.json")
        with open(pods_file, "w", encoding="utf-8") as file:
            json.dump(pods, file)
        stub = os.path.join(SOURCE, "tests/kube/kubestub.py")
        process = self.start([sys.executable, stub, "--pods", pods_file, "--version", version,
                              "--kubeconfig", self.env["KUBECONFIG"], *flags],
                             stdout=subprocess.PIPE, text=True)
        self.url = process.stdout.readline().strip()
        self.assertTrue(self.url.startswith("http://127.0.0.1:"), "the stub cluster did not start")

    def control(self, what):
        with urllib.request.urlopen(f"{self.url}/_stub/{what}", timeout=10) as answer:
            return json.load(answer)

    def pod_with_agent(self, *settings, **more):
        agent, port = self.fake_agent(*settings)
        self.cluster([{"name": "web-1", "ports": {"7663": f"127.0.0.1:{port}"}, **more}])
        return agent, port


def send(process, number=signal.SIGTERM):
    process.send_signal(number)
    process.wait(timeout=20)
    return process.returncode
