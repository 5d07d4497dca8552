# SPDX-License-Identifier: Apache-2.0
"""Every query of the dashboard and of the alerts returns data from a real Prometheus that scrapes real services.

Usage: queries_test.py (--fake PROGRAM | --preload LIBSONDE) [--report FILE]
  --fake     two processes of tests/endpoints/fake_agent, with known numbers
  --preload  two redis-servers under the agent, under load
The report is an HTML table of every panel, its query and the values that came back.
"""
import argparse
import html
import json
import math
import os
import re
import sys
import time
import unittest

import yaml

from common import DASHBOARD, RULES, wait_until
from services import Running, answers, free_port, get

PODS = ("redis-0", "redis-1")
SCRAPES_FOR_A_RATE = 15
MEMORY_LIMIT = 1 << 30
VARIABLES = {"$namespace": "sonde-demo", "$pod": "|".join(PODS), "$container": "redis|other",
             "$__rate_interval": "10s"}


def filled_in(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def panel_queries():
    dashboard = json.loads(DASHBOARD.read_text())
    return [(panel["title"], filled_in(target["expr"]), panel) for panel in dashboard["panels"]
            for target in panel.get("targets", [])]


def alert_queries():
    """An alert gives data only while it fires; with `bool` its comparison gives 0 or 1 for whatever it looks at."""
    queries = []
    for group in yaml.safe_load(RULES.read_text())["spec"]["groups"]:
        for rule in group["rules"]:
            expression, count = re.subn(r" ([<>]) ([\d.]+)$", r" \1 bool \2", rule["expr"])
            if count != 1:
                raise RuntimeError(f"expected a comparison at the end of {rule['alert']}: {rule['expr']}")
            queries.append((rule["alert"], expression, None))
    return queries


def start_services(running, options, group):
    """Starts one service for every pod; returns {pod: (agent's port, port of its metrics)}."""
    ports = {}
    for pod in PODS:
        listen, metrics = free_port(), free_port()
        if options.fake:
            running.start(pod, [options.fake, "--seconds", 120, f"SONDE_LISTEN=127.0.0.1:{listen}",
                                f"SONDE_METRICS_LISTEN=127.0.0.1:{metrics}"])
        else:
            running.redis(pod, options.preload, listen, metrics, group=group)
        answers(f"http://127.0.0.1:{metrics}/healthz")
        ports[pod] = (listen, metrics)
    return ports


def targets(ports, prometheus_port):
    """As a PodMonitor labels them. Prometheus itself plays an exporter in the same pod with process_* of its own."""
    labels = [{"namespace": "sonde-demo", "pod": pod, "container": "redis"} for pod in ports]
    found = [(f"127.0.0.1:{metrics}", label) for (_, metrics), label in zip(ports.values(), labels)]
    return found + [(f"127.0.0.1:{prometheus_port}", labels[0])]


def write_report(path, rows):
    body = []
    for title, query, series in rows:
        values = "<br>".join(html.escape(f"{value:.6g}  " + ", ".join(
            f"{k}={v}" for k, v in labels.items() if k not in ("__name__", "job", "namespace", "container")))
            for labels, value in sorted(series, key=lambda item: -item[1])[:12])
        body.append(f"<tr><td>{html.escape(title)}<td><code>{html.escape(query)}</code><td>{len(series)}<td>{values}")
    with open(path, "w") as out:
        out.write("<!doctype html><meta charset=utf-8><title>Sonde: every query and its values</title><style>"
                  "body{font:13px sans-serif}table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:4px;"
                  "vertical-align:top;text-align:left}code{font-size:11px}</style><table><tr><th>Panel or alert"
                  "<th>Query<th>Series<th>Values\n" + "\n".join(body) + "</table>\n")


class QueriesTest(unittest.TestCase):
    options = None

    @classmethod
    def setUpClass(cls):
        cls.running = Running()
        cls.enterClassContext(cls.running)
        group = None if cls.options.fake else cls.running.limited_group(MEMORY_LIMIT)
        cls.has_limit = cls.options.fake or group is not None
        cls.ports = start_services(cls.running, cls.options, group)
        cls.prometheus = cls.running.prometheus(lambda port: targets(cls.ports, port))
        for listen, _ in cls.ports.values():
            get(f"http://127.0.0.1:{listen}/debug/pprof/profile?seconds=1", 30)
        wait_until(lambda: len(cls.prometheus.series("sonde_profile_downloads_total")) >= len(PODS),
                   "the downloads in a scrape")
        cls.let_time_pass()
        cls.rows = [(title, query, cls.prometheus.series(query), panel)
                    for title, query, panel in panel_queries() + alert_queries()]
        if cls.options.report:
            write_report(cls.options.report, [row[:3] for row in cls.rows])

    @classmethod
    def let_time_pass(cls):
        """Until rates can be taken. A fake agent burns no CPU of its own, so it is kept busy with requests."""
        end = time.monotonic() + SCRAPES_FOR_A_RATE
        while time.monotonic() < end:
            for _, metrics in cls.ports.values():
                if cls.options.fake:
                    get(f"http://127.0.0.1:{metrics}/metrics")
            time.sleep(0.002)

    def value(self, expression):
        series = self.prometheus.series(expression)
        self.assertEqual(1, len(series), expression)
        return series[0][1]

    def test_every_query_returns_a_number_for_every_pod(self):
        for title, query, series, _ in self.rows:
            if "memory_limit_bytes" in query and "agent" not in query and not self.has_limit:
                print(f"not asked, for want of a cgroup with a limit: {title}")
                continue
            with self.subTest(title):
                self.assertTrue(series, query)
                self.assertFalse([labels for labels, value in series if not math.isfinite(value)], query)
                if title != "Agents":  # one number for all
                    self.assertEqual(set(PODS), {labels["pod"] for labels, _ in series}, query)

    def test_the_exporter_beside_the_agent_is_in_no_answer(self):
        self.assertEqual(len(PODS) + 1, len(self.prometheus.series("process_open_fds")))
        for title, query, series, _ in self.rows:
            if "process_" in query:
                self.assertEqual(len(PODS), len(series), title)

    def test_every_series_has_a_legend_of_its_own(self):
        for title, query, series, panel in self.rows:
            formats = [t["legendFormat"] for t in (panel or {}).get("targets", [])
                       if filled_in(t["expr"]) == query and "legendFormat" in t]
            for form in formats:
                legends = [re.sub(r"\{\{(\w+)\}\}", lambda m, l=labels: l.get(m[1], "?"), form) for labels, _ in series]
                self.assertEqual(len(legends), len(set(legends)), (title, legends))
                self.assertFalse([legend for legend in legends if "?" in legend], title)

    def test_variables_find_the_services(self):
        dashboard = json.loads(DASHBOARD.read_text())
        found = {}
        for variable in dashboard["templating"]["list"][1:]:
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            found[variable["name"]] = self.prometheus.label_values(match[2], filled_in(match[1]))
        self.assertEqual({"namespace": ["sonde-demo"], "pod": list(PODS), "container": ["redis"]}, found)

    def test_ratios_are_ratios(self):
        for title, query, series, panel in self.rows:
            defaults = (panel or {}).get("fieldConfig", {}).get("defaults", {})
            if defaults.get("max") == 1:
                for labels, value in series:
                    self.assertTrue(0 <= value <= 1, (title, labels, value))

    def test_numbers_of_a_real_service_are_plausible(self):
        if not self.options.preload:
            self.skipTest("the fake agent's numbers are made up")
        pod = f'{{pod="{PODS[0]}"}}'
        own = f'and on (job, instance) sonde_build_info{pod}'
        busy = self.value(f"rate(process_cpu_seconds_total{pod}[10s]) {own}")
        self.assertGreater(busy, 0.05)
        named = self.value(f'sum(rate(sonde_thread_cpu_seconds_total{pod}[10s]))')
        self.assertAlmostEqual(busy, named, delta=0.1)
        self.assertEqual(1, self.value(f"sonde_enabled{pod}"))
        self.assertEqual(100, self.value(f"sonde_cpu_sample_rate_hertz{pod}"))
        self.assertGreaterEqual(self.value(f"sonde_threads{pod}"), 4)
        self.assertLess(self.value(f"rate(sonde_agent_cpu_seconds_total{pod}[10s])"), 0.05)
        self.assertLess(self.value(f"sonde_agent_memory_bytes{pod}"), 16 << 20)
        sampled = self.value(f"rate(sonde_cpu_samples_total{pod}[10s])")
        self.assertAlmostEqual(sampled, 100 * busy, delta=15)

    def test_the_parts_of_the_memory_add_up_to_the_rss(self):
        if not self.options.preload:
            self.skipTest("the fake agent's numbers are made up")
        for pod in PODS:
            rss = self.value(f'process_resident_memory_bytes{{pod="{pod}"}} and on (job, instance) sonde_build_info')
            parts = self.value(f'sum by (pod) (sonde_memory_bytes{{pod="{pod}"}})')
            self.assertAlmostEqual(1, parts / rss, delta=0.1, msg=pod)
            allocated = self.value(f'sonde_heap_allocated_bytes_total{{pod="{pod}"}}')
            self.assertGreater(allocated, 1 << 20, pod)
            if self.has_limit:
                self.assertEqual(MEMORY_LIMIT, self.value(f'sonde_cgroup_memory_limit_bytes{{pod="{pod}"}}'))

    def test_no_alert_would_fire_on_a_healthy_agent(self):
        if not self.options.preload:
            self.skipTest("the fake agent's numbers are made up")
        for title, _, series, panel in self.rows:
            if panel is None and title != "SondeHotThread":  # redis under load may be hot
                self.assertEqual({0.0}, {value for _, value in series}, title)


def main():
    parser = argparse.ArgumentParser()
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--fake", type=os.path.abspath)
    kind.add_argument("--preload", type=os.path.abspath)
    parser.add_argument("--report")
    QueriesTest.options, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
