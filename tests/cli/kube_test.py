# SPDX-License-Identifier: Apache-2.0
"""sonde -> real kubectl -> stub API server -> agent, with every kubectl of this machine."""
import os
import re
import signal
import subprocess
import unittest

import harness
from harness import CLEAN, ERROR, SONDE, KubeCase


class PodTargets(KubeCase):
    def test_profile_of_a_pod_comes_through_a_forward(self):
        self.pod_with_agent()
        text, _ = self.sonde("cpu", "pod/web-1", "-s", "1")
        self.assertIn("ParseRequest", text)
        self.assertIn("agent 0.1.0", text)

    def test_older_cluster_without_websocket_works_too(self):
        _, port = self.fake_agent()
        self.cluster([{"name": "web-1", "ports": {"7663": f"127.0.0.1:{port}"}}], "--no-websocket")
        self.assertIn("ParseRequest", self.sonde("cpu", "pod/web-1", "-s", "1")[0])

    def test_namespace_and_kubeconfig_are_passed_on(self):
        self.pod_with_agent(ns="shop")
        config = self.env.pop("KUBECONFIG")
        text, _ = self.sonde("status", "pod/web-1", "-n", "shop", "--kubeconfig", config)
        self.assertIn("agent 0.1.0", text)
        self.assertIn("-n shop", text.splitlines()[-1])

    def test_container_names_the_port(self):
        _, port = self.fake_agent()
        self.cluster([{"name": "web-1", "ports": {"7700": f"127.0.0.1:{port}"}, "containers": ["web"],
                       "env": {"SONDE_LISTEN": "127.0.0.1:7700"}}])
        self.sonde("status", "pod/web-1", "-c", "web")
        _, errors = self.sonde("status", "pod/web-1", "-c", "wen", code=harness.USAGE)
        self.assertIn("it has web", errors)

    def test_go_endpoint_in_a_pod(self):
        _, port = self.go_program()
        self.cluster([{"name": "go-1", "ports": {"6060": f"127.0.0.1:{port}"}}])
        text, _ = self.sonde("cpu", "pod/go-1", "--port", "6060", "-s", "1")
        self.assertIn("main.burnInnerLoop", text)

    def test_pod_not_found(self):
        self.cluster([])
        _, errors = self.sonde("cpu", "pod/nope", code=ERROR)
        self.assertIn("there is no pod nope", errors)
        self.assertIn("kubectl get pods", errors)

    def test_pod_not_running(self):
        self.cluster([{"name": "web-1", "phase": "Pending"}])
        _, errors = self.sonde("cpu", "pod/web-1", code=ERROR)
        self.assertIn("not running", errors)

    def test_forbidden_says_what_rbac_it_needs(self):
        self.pod_with_agent()
        self.control("forbid?on=1")
        _, errors = self.sonde("cpu", "pod/web-1", code=ERROR)
        self.assertIn("pods/portforward", errors)

    def test_api_server_gone(self):
        self.cluster([])
        config = self.env["KUBECONFIG"]
        with open(config, encoding="utf-8") as file:
            text = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{harness.free_port()}", file.read())
        with open(config, "w", encoding="utf-8") as file:
            file.write(text)
        _, errors = self.sonde("cpu", "pod/web-1", code=ERROR)
        self.assertIn("API server cannot be reached", errors)

    def test_port_closed_in_the_pod(self):
        self.cluster([{"name": "web-1"}])
        _, errors = self.sonde("cpu", "pod/web-1", code=ERROR)
        self.assertIn("nothing listens on port 7663 in pod web-1", errors)

    def test_slow_upgrade_is_waited_for(self):
        self.pod_with_agent()
        self.control("delay?seconds=2")
        self.sonde("status", "pod/web-1")


class CutForwards(KubeCase):
    def capture_in_background(self, seconds=6):
        process = self.start([SONDE, "cpu", "pod/web-1", "-s", str(seconds)], env=self.env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        harness.wait_until(lambda: self.kubectl_of(process), what="kubectl")
        harness.wait_for_capture(process)
        return process

    @staticmethod
    def kubectl_of(process):
        return harness.children_of(process.pid)

    def expect_the_recording(self, process):
        text, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, CLEAN, errors)
        self.assertRegex(errors, r"^sonde: \d\.\d s into the capture the connection was lost; this is the agent's recording")
        self.assertRegex(text, r"cores over [6789]\.\d+ s ")
        self.assertIn("ParseRequest", text)

    def test_cut_in_the_middle_of_a_capture_is_finished_from_the_recording(self):
        self.pod_with_agent()
        process = self.capture_in_background()
        self.assertEqual(self.control("cut?pod=web-1")["cut"], 1)
        self.expect_the_recording(process)

    def test_pod_deleted_in_the_middle_of_a_capture(self):
        self.pod_with_agent()
        process = self.capture_in_background()
        self.control("delete?pod=web-1")
        _, errors = process.communicate(timeout=20)
        self.assertEqual(process.returncode, ERROR)
        self.assertRegex(errors, r"cut off \d\.\d s into a 6 s capture: the forward to pod web-1 was lost")
        self.assertIn("it did not answer again within 10 s", errors)

    def test_kubectl_killed_in_the_middle_of_a_capture(self):
        self.pod_with_agent()
        process = self.capture_in_background()
        for pid in self.kubectl_of(process):
            os.kill(pid, signal.SIGKILL)
        self.expect_the_recording(process)

    def test_forward_lost_before_the_answer_is_tried_once_more(self):
        # The agent's port accepts and hangs up: every forward is lost, so the second try fails as well.
        listener = self.start(["/usr/bin/python3", "-c", HANG_UP], stdout=subprocess.PIPE, text=True)
        port = listener.stdout.readline().strip()
        self.cluster([{"name": "web-1", "ports": {"7663": f"127.0.0.1:{port}"}}])
        _, errors = self.sonde("status", "pod/web-1", code=ERROR)
        self.assertIn("a second forward did not help", errors)
        self.assertEqual(listener.stdout.readline(), "hung up\n")
        self.assertEqual(listener.stdout.readline(), "hung up\n")

    def no_kubectl_is_left_after(self, number):
        self.pod_with_agent()
        process = self.capture_in_background()
        pids = self.kubectl_of(process)
        self.assertTrue(pids)
        self.assertEqual(harness.send(process, number), -number)
        harness.wait_until(lambda: not any(map(harness.is_running, pids)), 5, "the end of kubectl")

    def test_no_kubectl_is_left_after_sigkill(self):
        self.no_kubectl_is_left_after(signal.SIGKILL)

    def test_no_kubectl_is_left_after_sigint(self):
        self.no_kubectl_is_left_after(signal.SIGINT)

    def test_no_kubectl_is_left_after_sigterm(self):
        self.no_kubectl_is_left_after(signal.SIGTERM)


TOKEN = "0123456789abcdef0123456789abcdef"

HANG_UP = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
listener.settimeout(60)
print(listener.getsockname()[1], flush=True)
for _ in range(2):
    listener.accept()[0].close()
    print("hung up", flush=True)
"""


class Tokens(KubeCase):
    def test_changes_to_a_pod_use_the_token_of_the_secret(self):
        token_file = os.path.join(self.dir, "token")
        with open(token_file, "w", encoding="utf-8") as file:
            file.write(TOKEN + "\n")
        self.pod_with_agent("SONDE_TOKEN_FILE=" + token_file)
        _, errors = self.sonde("off", "pod/web-1", code=ERROR)
        self.assertIn("Secret sonde-token", errors)
        self.control("secret?name=sonde-token&token=" + TOKEN)
        self.sonde("off", "pod/web-1")
        self.assertIn("off", self.sonde_json("status", "pod/web-1")["state"])

    def test_wrong_token_is_refused(self):
        token_file = os.path.join(self.dir, "token")
        with open(token_file, "w", encoding="utf-8") as file:
            file.write(TOKEN + "\n")
        self.pod_with_agent("SONDE_TOKEN_FILE=" + token_file)
        self.control("secret?name=sonde-token&token=" + TOKEN[::-1])
        _, errors = self.sonde("off", "pod/web-1", code=ERROR)
        self.assertRegex(errors, "answered 40[13]")


class WithoutKubectl(harness.Case):
    def test_no_kubectl_in_path(self):
        _, errors = self.sonde("cpu", "pod/web-1", code=ERROR, env={"PATH": self.dir})
        self.assertIn("no kubectl in PATH", errors)


def load_tests(loader, _tests, _pattern):
    """All cases with the default kubectl, the transport with every other."""
    suite = unittest.TestSuite([loader.loadTestsFromTestCase(WithoutKubectl)])
    every = harness.kubectls()
    default = every.pop("default", "") or (every[max(every)] if every else "")
    for case in (PodTargets, CutForwards, Tokens):
        case.kubectl_path = default
        suite.addTests(loader.loadTestsFromTestCase(case))
    for version, path in sorted(every.items()):
        name = "Kubectl_" + version.replace(".", "_")
        case = type(name, (PodTargets, CutForwards), {"kubectl_path": path})
        for test in ("test_profile_of_a_pod_comes_through_a_forward", "test_pod_not_found",
                     "test_port_closed_in_the_pod", "test_no_kubectl_is_left_after_sigkill",
                     "test_cut_in_the_middle_of_a_capture_is_finished_from_the_recording"):
            suite.addTest(case(test))
    return suite


if __name__ == "__main__":
    unittest.main(verbosity=2)
