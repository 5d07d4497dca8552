# SPDX-License-Identifier: Apache-2.0
"""Rules of the dashboard that no schema knows: chained variables, one data source, one selection, no overlap."""
import itertools
import json
import re
import unittest

import yaml

from common import DASHBOARD, K8S, one, render

SELECTION = 'namespace=~"$namespace", pod=~"$pod", container=~"$container"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def overlap(one_position, other):
    return (one_position["x"] < other["x"] + other["w"] and other["x"] < one_position["x"] + one_position["w"] and
            one_position["y"] < other["y"] + other["h"] and other["y"] < one_position["y"] + one_position["h"])


class DashboardTest(unittest.TestCase):
    def setUp(self):
        self.dashboard = json.loads(DASHBOARD.read_text())
        self.panels = [panel for panel in self.dashboard["panels"] if panel["type"] != "row"]
        self.targets = [target for panel in self.panels for target in panel["targets"]]

    def test_links_to_it_stay_valid(self):
        self.assertEqual("sonde-native-services", self.dashboard["uid"])
        self.assertNotIn("id", self.dashboard)

    def test_variables_are_chained_from_data_source_to_container(self):
        variables = {v["name"]: v for v in self.dashboard["templating"]["list"]}
        self.assertEqual(["datasource", "namespace", "pod", "container"], list(variables))
        for name, narrower in (("namespace", []), ("pod", ["namespace"]), ("container", ["namespace", "pod"])):
            query = variables[name]["query"]["query"]
            self.assertEqual(narrower, re.findall(r'\$(\w+)', query))
            self.assertTrue(query.endswith(f", {name})"))
            self.assertEqual(SOURCE, variables[name]["datasource"])

    def test_every_panel_and_query_asks_the_chosen_data_source(self):
        for part in self.panels + self.targets:
            self.assertEqual(SOURCE, part["datasource"])

    def test_every_selector_is_narrowed_to_the_chosen_containers(self):
        for target in self.targets:
            selectors = re.findall(r"\{([^}]*)\}", target["expr"])
            metrics = re.findall(r"\b(?:sonde|process)_\w+", target["expr"])
            self.assertEqual(len(metrics), len(selectors), target["expr"])
            for selector in selectors:
                self.assertEqual(SELECTION, re.sub(r', part="\w+"$', "", selector))

    def test_rates_follow_the_zoom_and_are_taken_of_counters_only(self):
        for target in self.targets:
            for metric, window in re.findall(r"rate\((\w+)\{[^}]*\}\[([^]]*)\]", target["expr"]):
                self.assertTrue(metric.endswith("_total"), metric)
                self.assertEqual("$__rate_interval", window)

    def test_the_services_own_exporter_is_not_counted_twice(self):
        for target in self.targets:
            if "process_" in target["expr"]:
                self.assertIn("on (job, instance)", target["expr"])

    def test_panels_have_a_title_a_description_and_a_place_of_their_own(self):
        ids = [panel["id"] for panel in self.dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        for panel in self.panels:
            self.assertTrue(panel["title"] and panel["description"])
            self.assertLessEqual(panel["gridPos"]["x"] + panel["gridPos"]["w"], 24)
        for first, second in itertools.combinations(self.dashboard["panels"], 2):
            self.assertFalse(overlap(first["gridPos"], second["gridPos"]), (first["title"], second["title"]))

    def test_the_config_map_carries_this_file_and_the_label_of_the_sidecar(self):
        config_map = one(render(K8S / "grafana"), "ConfigMap", "sonde-dashboards")
        self.assertEqual("1", config_map["metadata"]["labels"]["grafana_dashboard"])
        self.assertEqual(self.dashboard, json.loads(config_map["data"]["native-services.json"]))

    def test_the_provisioning_file_names_a_directory(self):
        provisioning = yaml.safe_load((K8S / "grafana" / "provisioning.yaml").read_text())
        self.assertEqual(1, provisioning["apiVersion"])
        self.assertEqual(["file"], [provider["type"] for provider in provisioning["providers"]])
        self.assertTrue(provisioning["providers"][0]["options"]["path"].startswith("/"))


if __name__ == "__main__":
    unittest.main()
