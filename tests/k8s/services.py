# SPDX-License-Identifier: Apache-2.0
"""Processes that a test starts and ends by pid: services under the agent, their load, and Prometheus."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import yaml

from common import need, wait_until


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def get(url, timeout_s=10):
    with urllib.request.urlopen(url, timeout=timeout_s) as reply:
        return reply.read()


def answers(url):
    return wait_until(lambda: get(url, 2) is not None, f"an answer from {url}")


class Running(contextlib.ExitStack):
    """Everything that is started here is ended when the block is left, the last one first."""

    def __enter__(self):
        super().__enter__()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sonde-k8s."))
        self.callback(shutil.rmtree, self.directory, ignore_errors=True)
        return self

    def limited_group(self, limit_bytes):
        """A cgroup of this test's own with a limit of memory; None where none can be made."""
        own = pathlib.Path("/proc/self/cgroup").read_text()
        lines = dict(line.split(":", 2)[1:] for line in own.splitlines())
        hierarchy, path, limit = ("memory", lines["memory"], "memory.limit_in_bytes") if "memory" in lines else (
            "", lines.get("", "/"), "memory.max")
        group = pathlib.Path("/sys/fs/cgroup", hierarchy, path.lstrip("/"), f"sonde-test-{os.getpid()}")
        try:
            group.mkdir()
            self.callback(group.rmdir)
            (group / limit).write_text(str(limit_bytes))
        except OSError:
            return None
        return group

    def start(self, name, command, env=None, group=None):
        if group is not None:
            command = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', group / "cgroup.procs", *command]
        log = self.enter_context(open(self.directory / f"{name}.log", "wb"))
        process = subprocess.Popen([str(part) for part in command], cwd=self.directory, stdout=log, stderr=log,
                                   env={**os.environ, **(env or {})})
        self.callback(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def log(self, name):
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def redis(self, name, preload, listen, metrics, load_clients=1, group=None):
        """redis-server under the agent and under load. Both ports are the agent's."""
        port = free_port()
        process = self.start(name, [need("redis-server"), "--port", port, "--bind", "127.0.0.1", "--save", "",
                                    "--appendonly", "no"],
                             {"LD_PRELOAD": str(preload), "SONDE_TARGET": "redis-server",
                              "SONDE_LISTEN": f"127.0.0.1:{listen}", "SONDE_METRICS_LISTEN": f"127.0.0.1:{metrics}",
                              "SONDE_RUN_DIR": str(self.directory)}, group)
        self.connects(port, f"{name} on port {port}")
        self.start(f"{name}-load", [need("redis-benchmark"), "-p", port, "-c", load_clients, "-l", "-q", "-t",
                                    "get,set,lrange_100"])
        return process

    @staticmethod
    def connects(port, what):
        def attempt():
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
        wait_until(attempt, what)

    def prometheus(self, targets):
        """Scrapes [(address, labels)] each second, with the labels that a PodMonitor adds."""
        port = free_port()
        config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                  "scrape_configs": [{"job_name": "sonde", "static_configs": [
                      {"targets": [address], "labels": labels} for address, labels in targets(port)]}]}
        (self.directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self.start("prometheus", [need("prometheus"), "--config.file=prometheus.yaml", "--storage.tsdb.path=tsdb",
                                  f"--web.listen-address=127.0.0.1:{port}"])
        answers(f"http://127.0.0.1:{port}/-/ready")
        return Prometheus(f"http://127.0.0.1:{port}")


class Prometheus:
    """The query API."""

    def __init__(self, url):
        self.url = url

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            answer = json.loads(get(f"{self.url}/api/v1/{path}?{query}"))
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{parameters}: {error.read().decode()}") from error
        return answer["data"]

    def series(self, expression):
        """[(labels, value)] of an instant query."""
        data = self.ask("query", query=expression)
        return [(item["metric"], float(item["value"][1])) for item in data["result"]]

    def label_values(self, label, selector):
        return self.ask(f"label/{label}/values", **{"match[]": selector})
