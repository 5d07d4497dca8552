# SPDX-License-Identifier: Apache-2.0
"""docs/kubernetes.md says what the files say: paths, variables, ports, alerts and sizes."""
import json
import re
import subprocess
import tempfile
import unittest

import yaml

from common import K8S, ROOT, environment, need, one, render

TEXT = (ROOT / "docs" / "kubernetes.md").read_text()


class DocsTest(unittest.TestCase):
    def setUp(self):
        spec = one(render(K8S / "demo"), "Deployment", "redis")["spec"]["template"]["spec"]
        self.app, self.install, self.volumes = spec["containers"][0], spec["initContainers"][0], spec["volumes"]

    def test_every_path_of_the_tree_exists(self):
        paths = re.findall(r"`(?:path/to/)?(k8s/[\w./-]+)`", TEXT)
        self.assertGreater(len(paths), 6)
        for path in paths:
            self.assertTrue((ROOT / path).exists(), path)

    def test_every_setting_is_one_of_the_schema(self):
        schema = (ROOT / "agent" / "config" / "settings.inc").read_text()
        names = set(re.findall(r"SONDE_[A-Z_]+\b", TEXT)) | {n for n in environment(self.app) if n.startswith("SONDE_")}
        for name in names:
            self.assertIn(f'"{name}"', schema)

    def test_every_injected_variable_and_mount_is_listed(self):
        for name in environment(self.app):
            self.assertRegex(TEXT, rf"\| first container, env \|[^|]*{name}")
        for mount in self.app["volumeMounts"]:
            self.assertRegex(TEXT, rf"\| first container, mounts \|[^|]*`{mount['mountPath']}`")
        for volume in self.volumes:
            self.assertRegex(TEXT, rf"\| volumes \|[^|]*`{volume['name']}`")

    def test_numbers_are_those_of_the_manifest(self):
        resources = self.install["resources"]
        self.assertIn(f"{resources['requests']['cpu']}/{resources['requests']['memory']} requested, "
                      f"{resources['limits']['cpu']}/{resources['limits']['memory']} at most", TEXT)
        port = next(p for p in self.app["ports"] if p["name"] == "sonde-metrics")["containerPort"]
        self.assertIn(f"`sonde-metrics` {port}/TCP", TEXT)

    def test_every_alert_has_a_row(self):
        spec = one(render(K8S / "alerts"), "PrometheusRule", "sonde")["spec"]
        alerts = [rule["alert"] for group in spec["groups"] for rule in group["rules"]]
        self.assertEqual(alerts, re.findall(r"^\| `(Sonde\w+)` \|", TEXT, re.MULTILINE))

    def test_the_layout_of_the_copier_is_the_one_described(self):
        source = (K8S / "image" / "install_agent.c").read_text()
        made = set(re.findall(r'\{"(lib[\w/-]*)"', source))
        self.assertEqual(made, set(re.findall(r"`(lib(?:\d\d|/[\w-]+)?)` (?:agent|empty)", TEXT)))

    def test_the_scrape_configuration_gives_the_labels_of_the_dashboard(self):
        config = yaml.safe_load(re.search(r"```yaml\n(scrape_configs:.*?)```", TEXT, re.DOTALL)[1])
        job = config["scrape_configs"][0]
        self.assertEqual([{"role": "pod"}], job.pop("kubernetes_sd_configs"))
        # What that discovery finds in a pod, since Debian's promtool is built without it.
        job["static_configs"] = [{"targets": [f"10.0.0.7:{port}"], "labels": {
            "__meta_kubernetes_namespace": "shop", "__meta_kubernetes_pod_name": "cart-0",
            "__meta_kubernetes_pod_container_name": "cart", "__meta_kubernetes_pod_container_port_name": name}}
            for name, port in (("http", 80), ("sonde-metrics", 9663))]
        found = self.discovered(config)
        self.assertEqual([{}, {"__address__": "10.0.0.7:9663", "namespace": "shop", "pod": "cart-0",
                               "container": "cart"}], found)

    @staticmethod
    def discovered(config):
        """The labels of each target after relabelling, as promtool works them out; {} for a dropped one."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(config, file)
            done = subprocess.run([need("promtool"), "check", "service-discovery", "--timeout=1s", file.name, "sonde"],
                                  text=True, capture_output=True, timeout=60, check=True)
        wanted = ("__address__", "namespace", "pod", "container")
        targets = json.loads(done.stdout)
        targets.sort(key=lambda target: len(target["discoveredLabels"]["__address__"]))
        return [{k: v for k, v in (target["labels"] or {}).items() if k in wanted} for target in targets]


if __name__ == "__main__":
    unittest.main()
