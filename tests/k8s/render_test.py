# SPDX-License-Identifier: Apache-2.0
"""What `kubectl kustomize` makes of the component, the demo and the rest, with every kubectl of the machine."""
import re
import unittest

import yaml

from common import FIXTURES, K8S, environment, kubectls, one, render

PRELOAD = "/opt/sonde/$LIB/libsonde.so"


def template(objects, kind, name):
    return one(objects, kind, name)["spec"]["template"]


def named(items, name):
    return [item for item in items if item["name"] == name]


def restricted_breaches(pod):
    """What the Pod Security Standard "restricted" refuses in a pod template; empty when it is accepted."""
    spec, breaches = pod["spec"], []
    of_pod = spec.get("securityContext", {})
    for container in spec.get("initContainers", []) + spec["containers"]:
        own = container.get("securityContext", {})
        merged = {**of_pod, **own}
        for wrong, rule in (
                (own.get("allowPrivilegeEscalation") is not False, "allowPrivilegeEscalation: false"),
                (own.get("capabilities", {}).get("drop") != ["ALL"], "capabilities drop ALL"),
                (own.get("capabilities", {}).get("add", []) not in ([], ["NET_BIND_SERVICE"]), "no added capability"),
                (own.get("privileged"), "not privileged"),
                (merged.get("runAsNonRoot") is not True, "runAsNonRoot"),
                (merged.get("runAsUser") == 0, "runAsUser is not 0"),
                (merged.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"), "seccomp"),
                (any("hostPort" in port for port in container.get("ports", [])), "no hostPort")):
            if wrong:
                breaches.append(f"{container['name']}: {rule}")
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    breaches += [f"volume {v['name']}" for v in spec.get("volumes", []) if not set(v) - {"name"} <= allowed]
    breaches += [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    return breaches


class ComponentTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.objects = render(FIXTURES)

    def test_every_kubectl_renders_the_same(self):
        self.assertGreater(len(kubectls()), 0)
        for kubectl in kubectls():
            for directory in (FIXTURES, K8S / "demo", K8S / "base", K8S / "alerts", K8S / "grafana"):
                with self.subTest(kubectl=kubectl, directory=directory):
                    self.assertEqual(render(directory), render(directory, kubectl))

    def test_the_first_container_of_every_labelled_workload_preloads_the_agent(self):
        for kind, name in (("Deployment", "bare"), ("StatefulSet", "full"), ("DaemonSet", "node")):
            with self.subTest(name):
                app = template(self.objects, kind, name)["spec"]["containers"][0]
                env = environment(app)
                self.assertEqual(PRELOAD, env["LD_PRELOAD"].split(":")[0])
                self.assertEqual("main", env["SONDE_TARGET"])
                port = named(app["ports"], "sonde-metrics")[0]["containerPort"]
                self.assertEqual(f":{port}", env["SONDE_METRICS_LISTEN"])
                mount = named(app["volumeMounts"], "sonde-agent")[0]
                self.assertTrue(mount["readOnly"])
                self.assertTrue(PRELOAD.startswith(mount["mountPath"] + "/"))
                token = named(app["volumeMounts"], "sonde-token")[0]
                self.assertEqual(token["mountPath"] + "/token", env["SONDE_TOKEN_FILE"])
                self.assertEqual(named(app["volumeMounts"], "sonde-blackbox")[0]["mountPath"], env["SONDE_DIR"])

    def test_every_mount_has_its_volume(self):
        for kind, name in (("Deployment", "bare"), ("StatefulSet", "full"), ("DaemonSet", "node")):
            spec = template(self.objects, kind, name)["spec"]
            mounts = {m["name"] for c in spec["initContainers"] + spec["containers"] for m in c.get("volumeMounts", [])}
            self.assertLessEqual(mounts, {v["name"] for v in spec["volumes"]})

    def test_what_the_pod_had_stays(self):
        spec = template(self.objects, "StatefulSet", "full")["spec"]
        app = spec["containers"][0]
        self.assertEqual(f"{PRELOAD}:libjemalloc.so.2", environment(app)["LD_PRELOAD"])
        self.assertEqual("fast", environment(app)["MODE"])
        self.assertEqual(["http", "http-udp", "sonde-metrics"], [p["name"] for p in app["ports"]])
        self.assertEqual("/data", app["volumeMounts"][0]["mountPath"])
        self.assertEqual(["sonde-install", "migrate"], [c["name"] for c in spec["initContainers"]])

    def test_the_label_asks_for_the_library_that_brings_an_allocator(self):
        app = template(self.objects, "Deployment", "fast")["spec"]["containers"][0]
        self.assertEqual("/opt/sonde/$LIB/libsonde-tcmalloc.so:libother.so", environment(app)["LD_PRELOAD"])

    def test_other_containers_and_unlabelled_workloads_are_left_alone(self):
        side = template(self.objects, "Deployment", "bare")["spec"]["containers"][1]
        self.assertEqual({"name": "sidecar", "image": "sidecar"}, side)
        source = list(yaml.safe_load_all((FIXTURES / "workloads.yaml").read_text()))
        for kind, name in (("Deployment", "untouched"), ("Service", "bare")):
            self.assertEqual(one(source, kind, name), one(self.objects, kind, name))

    def test_selectors_stay_so_that_a_running_workload_can_be_updated(self):
        deployment = one(self.objects, "Deployment", "bare")
        self.assertEqual({"matchLabels": {"app": "bare"}}, deployment["spec"]["selector"])
        self.assertEqual("true", deployment["spec"]["template"]["metadata"]["labels"]["sonde/injected"])

    def test_the_image_is_replaced_by_the_images_field_of_the_user(self):
        install = template(self.objects, "Deployment", "bare")["spec"]["initContainers"][0]
        self.assertEqual("registry.example/team/sonde-agent:9.9.9", install["image"])

    def test_nothing_that_only_steers_the_rendering_reaches_the_cluster(self):
        self.assertEqual({"Deployment", "StatefulSet", "DaemonSet", "Service"}, {o["kind"] for o in self.objects})


class BlackBoxTest(unittest.TestCase):
    def test_the_volume_outlives_the_container_in_memory_and_has_room_for_every_region_that_is_kept(self):
        spec = template(render(K8S / "demo"), "Deployment", "redis")["spec"]
        volume = named(spec["volumes"], "sonde-blackbox")[0]["emptyDir"]
        self.assertEqual("Memory", volume["medium"])
        env = environment(spec["containers"][0])
        self.assertNotIn("SONDE_REGION_BYTES", env)
        settings = (K8S.parent / "agent" / "config" / "settings.inc").read_text()
        region = re.search(r'"SONDE_REGION_BYTES", Bytes, (\d+) << 20,', settings)
        most = (int(env["SONDE_DIR_KEEP"]) + 1) * int(region[1])
        self.assertLess(most, int(volume["sizeLimit"].removesuffix("Mi")))

    def test_its_path_is_no_other_mount_and_no_directory_of_sockets(self):
        app = template(render(K8S / "demo"), "Deployment", "redis")["spec"]["containers"][0]
        directory = environment(app)["SONDE_DIR"]
        self.assertEqual(1, [mount["mountPath"] for mount in app["volumeMounts"]].count(directory))
        self.assertNotIn(directory, ("/run/sonde", "/var/run/sonde"))


class DemoTest(unittest.TestCase):
    def test_the_restricted_standard_is_enforced_and_kept(self):
        objects = render(K8S / "demo")
        namespace = one(objects, "Namespace", "sonde-demo")
        self.assertEqual("restricted", namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"])
        for kind, name in (("Deployment", "redis"), ("Job", "load")):
            self.assertEqual([], restricted_breaches(template(objects, kind, name)))

    def test_the_checker_of_the_standard_finds_breaches(self):
        pod = template(render(K8S / "demo"), "Deployment", "redis")
        pod["spec"]["initContainers"][0]["securityContext"]["runAsNonRoot"] = False
        pod["spec"]["containers"][0]["securityContext"]["capabilities"] = {"drop": ["ALL"], "add": ["SYS_PTRACE"]}
        pod["spec"]["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
        self.assertEqual(["sonde-install: runAsNonRoot", "redis: no added capability", "volume host"],
                         restricted_breaches(pod))

    def test_only_redis_is_injected(self):
        objects = render(K8S / "demo")
        self.assertIn("LD_PRELOAD", environment(template(objects, "Deployment", "redis")["spec"]["containers"][0]))
        self.assertNotIn("initContainers", template(objects, "Job", "load")["spec"])

    def test_root_file_systems_are_read_only_and_memory_is_limited(self):
        spec = template(render(K8S / "demo"), "Deployment", "redis")["spec"]
        for container in spec["initContainers"] + spec["containers"]:
            self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"])
            self.assertIn("memory", container["resources"]["limits"])


class BaseTest(unittest.TestCase):
    def test_the_pod_monitor_selects_what_the_component_makes(self):
        monitor = one(render(K8S / "base"), "PodMonitor", "sonde")["spec"]
        pod = template(render(K8S / "demo"), "Deployment", "redis")
        self.assertLessEqual(monitor["selector"]["matchLabels"].items(), pod["metadata"]["labels"].items())
        endpoint = monitor["podMetricsEndpoints"][0]
        self.assertTrue(named(pod["spec"]["containers"][0]["ports"], endpoint["port"]))

    def test_the_role_reads_one_secret_and_changes_nothing(self):
        role = one(render(K8S / "base"), "Role", "sonde-user")
        allowed = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
        self.assertLessEqual({("pods", "get"), ("pods/portforward", "get"), ("pods/portforward", "create")}, allowed)
        writes = {pair for pair in allowed if pair[1] not in ("get", "list")}
        self.assertEqual({("pods/portforward", "create")}, writes)
        secrets = [rule for rule in role["rules"] if "secrets" in rule["resources"]]
        volumes = template(render(K8S / "demo"), "Deployment", "redis")["spec"]["volumes"]
        self.assertEqual([[named(volumes, "sonde-token")[0]["secret"]["secretName"]]],
                         [rule["resourceNames"] for rule in secrets])

    def test_without_the_secret_the_pod_still_starts(self):
        volumes = template(render(K8S / "demo"), "Deployment", "redis")["spec"]["volumes"]
        self.assertTrue(named(volumes, "sonde-token")[0]["secret"]["optional"])


if __name__ == "__main__":
    unittest.main()
