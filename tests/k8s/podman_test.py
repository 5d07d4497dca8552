# SPDX-License-Identifier: Apache-2.0
"""The rendered demo as real containers: init container, preload, metrics, profile, kill switch, and the last minutes
of a container that the OOM killer ended.

Usage: podman_test.py IMAGE_CONTEXT REPORT_DIR SONDE
Skips itself (77) only where podman cannot run a container; it says what podman said.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import yaml

from common import K8S, SKIPPED, environment, need, one, render, wait_until

POD, APP, INSTALL = "redis", "redis-redis", "redis-sonde-install"
TOKEN = "0123456789abcdef0123456789abcdef"
# crun wants one kind of cgroups, and the pause image is not to be downloaded.
CONTAINERS_CONF = """
[containers]
default_ulimits=["nofile=20000:20000","nproc=20000:20000"]
[network]
network_config_dir="{directory}/cni"
cni_plugin_dirs=["/usr/lib/cni"]
[engine]
cgroup_manager="cgroupfs"
runtime="runc"
infra_image="localhost/pause:1"
infra_command="/pause"
"""


def run(command, check=True, **how):
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True, timeout=120, check=False, **how)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Podman:
    """podman with a store of its own, so that nothing of the machine's is seen or left behind."""

    def __init__(self, directory):
        self.directory = directory
        (directory / "cni").mkdir()
        config = directory / "containers.conf"
        config.write_text(CONTAINERS_CONF.format(directory=directory))
        self.env = {**os.environ, "CONTAINERS_CONF": str(config)}

    def command(self, *arguments):
        return [need("podman"), "--root", self.directory / "root", "--runroot", self.directory / "run",
                "--cgroup-manager", "cgroupfs", *arguments]

    def __call__(self, *arguments, check=True, **how):
        return run(self.command(*arguments), check, env=self.env, **how)

    def import_image(self, rootfs, name, change):
        with subprocess.Popen(["tar", "-C", rootfs, "-c", "."], stdout=subprocess.PIPE) as tar:
            self("import", "-q", "-c", change, "-", name, stdin=tar.stdout)

    def pause_image(self):
        """What holds the namespaces of a pod: a program that waits for its SIGTERM."""
        rootfs = self.directory / "pause"
        rootfs.mkdir()
        (self.directory / "pause.c").write_text("#include <signal.h>\n#include <unistd.h>\n"
                                                "static void End(int number) { _exit(number != SIGTERM); }\n"
                                                "int main(void) { signal(SIGTERM, End); for (;;) pause(); }\n")
        run(["cc", "-static", "-o", rootfs / "pause", self.directory / "pause.c"])
        self.import_image(rootfs, "localhost/pause:1", 'ENTRYPOINT ["/pause"]')

    def redis_image(self, name):
        """The machine's redis and what it links to, under the name that the demo asks for."""
        rootfs = self.directory / "redis"
        for folder in ("tmp", "data", "etc", "run", "var", "usr/lib64"):
            (rootfs / folder).mkdir(parents=True)
        for link, target in (("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("var/run", "../run")):
            (rootfs / link).symlink_to(target)
        for program in ("redis-server", "redis-cli", "redis-benchmark", "dash", "cat", "ls"):
            copy_with_libraries(need(program), rootfs)
        (rootfs / "usr/bin/sh").symlink_to("dash")
        self.import_image(rootfs, name, "ENV PATH=/usr/bin:/bin")

    def remove_all(self):
        self("pod", "rm", "-fa", check=False)
        self("volume", "rm", "-fa", check=False)
        run(["umount", "-l", self.directory / "root/overlay"], check=False)


def copy_with_libraries(program, rootfs):
    (rootfs / "usr/bin").mkdir(parents=True, exist_ok=True)
    shutil.copy(os.path.realpath(program), rootfs / "usr/bin" / os.path.basename(program))
    for word in run(["ldd", program]).stdout.split():
        if word.startswith("/"):
            to = rootfs / "usr" / word.removeprefix("/usr").lstrip("/")
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(word), to)


def pod_of_demo(directory):
    """The demo's Deployment as the one pod of it that podman can play. What differs: podman 4.3 repeats init
    containers unless restartPolicy is Never, and knows no optional Secrets and no medium of an emptyDir."""
    template = one(render(K8S / "demo"), "Deployment", "redis")["spec"]["template"]
    template["metadata"]["name"] = POD
    spec = template["spec"]
    spec["restartPolicy"] = "Never"
    (directory / "token").mkdir()
    (directory / "token/token").write_text(TOKEN)
    for volume in spec["volumes"]:
        if volume["name"] == "sonde-token":
            del volume["secret"]
            volume["hostPath"] = {"path": str(directory / "token")}
    for port in spec["containers"][0]["ports"]:
        port.update(hostPort=port["containerPort"], hostIP="127.0.0.1")
    return {"apiVersion": "v1", "kind": "Pod", **template}


def cannot_run(podman):
    """Why podman cannot run any container here; None when it can."""
    podman.pause_image()
    done = podman("run", "--rm", "-d", "--network", "none", "localhost/pause:1", check=False)
    if done.returncode == 0:
        podman("rm", "-f", "-t", "0", done.stdout.strip())
        return None
    return done.stderr.strip() or f"exit {done.returncode}"


class PodmanTest(unittest.TestCase):
    context = report = podman = sonde = None

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(cls.podman.remove_all)
        pod = pod_of_demo(cls.podman.directory)
        cls.app = pod["spec"]["containers"][0]
        cls.podman("build", "-q", "-t", pod["spec"]["initContainers"][0]["image"], cls.context)
        cls.podman.redis_image(cls.app["image"])
        manifest = cls.podman.directory / "pod.yaml"
        manifest.write_text(yaml.safe_dump(pod))
        began = time.monotonic()
        cls.podman("kube", "play", manifest)
        cls.seconds_to_start = time.monotonic() - began
        cls.pid = int(cls.podman("inspect", APP, "--format", "{{.State.Pid}}").stdout)
        cls.port = {port["name"]: port["hostPort"] for port in cls.app["ports"]}
        wait_until(lambda: cls.curl(cls.port["sonde-metrics"], "/healthz")[0] == 200, "the agent's /healthz", 30)

    @classmethod
    def curl(cls, port, path, *options, inside=False):
        """Status and body; inside: from the pod's own loopback, where a port-forward arrives."""
        enter = ["nsenter", "-t", cls.pid, "-n"] if inside else []
        done = run([*enter, need("curl"), "-s", "-m", "30", "-w", "\n%{http_code}", *options,
                    f"http://127.0.0.1:{port}{path}"], check=False)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    def metric(self, name):
        status, text = self.curl(self.port["sonde-metrics"], "/metrics")
        self.assertEqual(200, status)
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)

    def inside_status(self):
        return json.loads(self.curl(7663, "/debug/sonde/status", inside=True)[1])

    def benchmark(self):
        return self.podman("exec", APP, "redis-benchmark", "-q", "-n", "60000", "-c", "4", "-t", "get,lrange_100")

    def test_1_the_container_is_restricted(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        self.assertEqual({"0000000000000000"}, {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")})
        self.assertEqual(("1", "2"), (fields["NoNewPrivs"], fields["Seccomp"]))
        self.assertEqual(["999"] * 4, fields["Uid"].split())
        self.assertNotEqual(0, self.podman("exec", APP, "sh", "-c", ": > /in-root", check=False).returncode)

    def test_2_the_agent_is_mapped_from_the_volume_and_cannot_be_changed(self):
        self.assertIn("/opt/sonde/lib/x86_64-linux-gnu/libsonde.so", pathlib.Path(f"/proc/{self.pid}/maps").read_text())
        self.assertNotEqual(0, self.podman("exec", APP, "sh", "-c", ": > /opt/sonde/x", check=False).returncode)

    def test_3_neither_the_service_nor_a_probe_says_a_word_of_it(self):
        log = self.podman("logs", APP)
        for word in ("sonde", "ld.so", "LD_PRELOAD"):
            self.assertNotIn(word, (log.stdout + log.stderr).lower())
        sockets = self.listening()
        for _ in range(20):
            done = self.podman("exec", APP, "redis-cli", "ping")
            self.assertEqual(("PONG", ""), (done.stdout.strip(), done.stderr))
        self.assertEqual(sockets, self.listening())

    def listening(self):
        return [line.split()[1] for name in ("tcp", "tcp6") for line in
                pathlib.Path(f"/proc/{self.pid}/net/{name}").read_text().splitlines() if line.split()[3] == "0A"]

    def test_4_metrics_come_through_the_published_port_and_nothing_else(self):
        before = self.metric("sonde_cpu_samples_total")
        self.benchmark()
        wait_until(lambda: self.metric("sonde_cpu_samples_total") > before + 20, "samples of the load", 15)
        self.assertEqual(1, self.metric("sonde_enabled"))
        self.assertGreater(self.metric("process_cpu_seconds_total"), 0)
        for path in ("/debug/pprof/", "/debug/pprof/profile?seconds=1", "/debug/sonde/status", "/debug/pprof/cmdline"):
            self.assertIn(self.curl(self.port["sonde-metrics"], path)[0], (403, 404), path)

    def test_5_a_profile_comes_from_the_pods_loopback(self):
        load = subprocess.Popen([need("redis-benchmark"), "-p", str(self.port["redis"]), "-q", "-l", "-c", "4", "-t",
                                 "get,lrange_100"], stdout=subprocess.DEVNULL)
        self.addCleanup(load.wait)
        self.addCleanup(load.kill)
        profile = self.report / "podman-redis.pb.gz"
        status, _ = self.curl(7663, "/debug/pprof/profile?seconds=3", "-o", profile, inside=True)
        self.assertEqual(200, status)
        top = run([need("go"), "tool", "pprof", "-symbolize=none", "-top", "-nodecount=15", profile]).stdout
        (self.report / "podman-redis-top.txt").write_text(top)
        self.assertRegex(top, r"Type: cpu")
        raw = run([need("go"), "tool", "pprof", "-symbolize=none", "-raw", profile]).stdout
        self.assertIn("redis-server", raw.split("Mappings")[1])
        samples = [line for line in raw.split("Samples:")[1].split("Locations")[0].splitlines() if ":" in line]
        self.assertGreater(len(samples), 5)

    def test_6_changes_need_the_token(self):
        self.assertEqual(405, self.curl(7663, "/debug/sonde/off", inside=True)[0])
        self.assertIn(self.curl(7663, "/debug/sonde/off", "-X", "POST", inside=True)[0], (401, 403))
        self.assertIn(self.curl(7663, "/debug/sonde/off", "-X", "POST", "-H", "Authorization: Bearer " + "f" * 32,
                                inside=True)[0], (401, 403))
        bearer = ("-X", "POST", "-H", f"Authorization: Bearer {TOKEN}")
        self.assertEqual(200, self.curl(7663, "/debug/sonde/off", *bearer, inside=True)[0])
        wait_until(lambda: self.metric("sonde_enabled") == 0, "sonde_enabled 0", 5)
        time.sleep(1)  # the kill switch is given a second
        before = self.metric("sonde_cpu_samples_total")
        self.benchmark()
        self.assertEqual(before, self.metric("sonde_cpu_samples_total"))
        self.assertEqual(200, self.curl(7663, "/debug/sonde/on", *bearer, inside=True)[0])
        wait_until(lambda: self.metric("sonde_enabled") == 1, "sonde_enabled 1", 5)

    def test_7_a_region_lies_in_the_volume_and_no_other_user_may_read_it(self):
        self.assertEqual(1, len(self.regions()))
        box = self.podman("inspect", APP, "--format", "{{range .Mounts}}{{.Destination}}={{.Source}}\n{{end}}").stdout
        volume = dict(line.split("=") for line in box.split())[environment(self.app)["SONDE_DIR"]]
        self.assertEqual({0o100600}, {file.stat().st_mode for file in pathlib.Path(volume).iterdir()})

    def regions(self):
        return self.podman("exec", APP, "ls", environment(self.app)["SONDE_DIR"]).stdout.split()

    def test_8_after_an_oom_kill_the_next_container_has_the_last_minutes_of_the_killed_one(self):
        killed = self.regions()
        self.assertEqual(256 << 20, self.metric("sonde_cgroup_memory_limit_bytes"))
        self.benchmark()
        time.sleep(2)  # the agent stores what it has about once a second
        self.podman("exec", APP, "redis-benchmark", "-q", "-n", "8000", "-r", "8000", "-d", "100000", "-t", "set",
                    check=False)
        wait_until(lambda: self.inspected("{{.State.Running}}") == "false", "the end of the container", 30)
        # podman's OOMKilled stays false with cgroups of version 1; nobody else sends SIGKILL here.
        self.assertEqual("137", self.inspected("{{.State.ExitCode}}"))
        self.podman("start", APP)
        PodmanTest.pid = int(self.inspected("{{.State.Pid}}"))
        wait_until(lambda: len(self.regions()) == 2, "the region of the new container beside the old one", 20)
        self.assertIn(killed[0], self.regions())
        box = self.report / "podman-redis.region"
        with open(box, "wb") as file:
            subprocess.run(self.podman.command("exec", APP, "cat", f"{environment(self.app)['SONDE_DIR']}/{killed[0]}"),
                           stdout=file, env=self.podman.env, check=True, timeout=60)
        report = run([self.sonde, "cpu", box]).stdout
        (self.report / "podman-redis-box.txt").write_text(report)
        self.assertIn("process has ended", report.splitlines()[0])
        self.assertRegex(report.splitlines()[0], r" [1-9]\d+ samples ")
        self.assertRegex(report, r"heaviest .*main")

    def inspected(self, form):
        return self.podman("inspect", APP, "--format", form).stdout.strip()

    def test_9_the_service_ends_as_it_would_without_the_agent(self):
        began = time.monotonic()
        self.podman("stop", "-t", "10", APP)
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual("0", self.inspected("{{.State.ExitCode}}"))


def own_network():
    """Runs this script again in a network namespace of its own: ports and bridges meet nobody's."""
    if os.environ.get("SONDE_OWN_NETWORK") != "1":
        os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv], {**os.environ, "SONDE_OWN_NETWORK": "1"})
    run(["ip", "link", "set", "lo", "up"])


def main():
    own_network()
    with tempfile.TemporaryDirectory(prefix="sonde-podman.", ignore_cleanup_errors=True) as scratch:
        podman = Podman(pathlib.Path(scratch))
        reason = cannot_run(podman) if shutil.which("podman") else "podman is not installed"
        if reason is not None:
            print(f"skipped: podman cannot run a container here: {reason}")
            sys.exit(SKIPPED)
        PodmanTest.context, PodmanTest.report = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
        PodmanTest.sonde = pathlib.Path(sys.argv[3])
        PodmanTest.report.mkdir(parents=True, exist_ok=True)
        PodmanTest.podman = podman
        ok = unittest.main(argv=[sys.argv[0], *sys.argv[4:]], exit=False).result.wasSuccessful()
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
