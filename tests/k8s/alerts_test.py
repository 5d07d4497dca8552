# SPDX-License-Identifier: Apache-2.0
"""The alert rules: promtool's check, and promtool's test of when each fires and when it must not."""
import pathlib
import subprocess
import tempfile
import unittest

import yaml

from common import K8S, need, one, render

CASES = pathlib.Path(__file__).resolve().parent / "alerts_cases.yaml"


def groups():
    return one(render(K8S / "alerts"), "PrometheusRule", "sonde")["spec"]


def promtool(command, rules, cases=None):
    """Runs promtool in a directory that has the rules, and the cases, as it wants them."""
    with tempfile.TemporaryDirectory(prefix="sonde-alerts.") as scratch:
        work = pathlib.Path(scratch)
        (work / "rules.yaml").write_text(yaml.safe_dump(rules))
        if cases is not None:
            (work / "cases.yaml").write_text(yaml.safe_dump(cases))
        name = "rules.yaml" if cases is None else "cases.yaml"
        return subprocess.run([need("promtool"), command, "rules", name], cwd=work, text=True, capture_output=True,
                              timeout=60, check=False)


class AlertsTest(unittest.TestCase):
    def test_promtool_accepts_the_rules(self):
        done = promtool("check", groups())
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    def test_each_alert_fires_when_it_should_and_not_otherwise(self):
        done = promtool("test", groups(), yaml.safe_load(CASES.read_text()))
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(self):
        fires, silent = set(), set()
        for case in yaml.safe_load(CASES.read_text())["tests"]:
            for check in case["alert_rule_test"]:
                (fires if check["exp_alerts"] else silent).add(check["alertname"])
        alerts = {rule["alert"] for group in groups()["groups"] for rule in group["rules"]}
        self.assertEqual(alerts, fires)
        self.assertEqual(alerts, silent)

    def test_the_cases_notice_a_changed_threshold(self):
        for group in range(len(groups()["groups"])):
            for rule in range(len(groups()["groups"][group]["rules"])):
                changed = groups()
                expression = changed["groups"][group]["rules"][rule]
                before, operator, threshold = expression["expr"].rpartition(" < " if " < " in expression["expr"] else " > ")
                expression["expr"] = before + operator + str(float(threshold) * (0 if operator == " < " else 1000))
                with self.subTest(expression["alert"]):
                    done = promtool("test", changed, yaml.safe_load(CASES.read_text()))
                    self.assertNotEqual(0, done.returncode)

    def test_every_alert_says_how_bad_it_is_where_and_what_next(self):
        for group in groups()["groups"]:
            for rule in group["rules"]:
                with self.subTest(rule["alert"]):
                    self.assertIn(rule["labels"]["severity"], ("info", "warning", "critical"))
                    self.assertIn("$labels.pod", rule["annotations"]["summary"])
                    self.assertIn("$labels.namespace", rule["annotations"]["description"])


if __name__ == "__main__":
    unittest.main()
