#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Just enough of the Kubernetes API on loopback for a real kubectl: get pods and secrets, port-forward.

    kubestub.py --port 0 --pods pods.json --kubeconfig kc [--version 1.32.4] [--no-websocket]

pods.json: a list of {"name", "ns", "phase", "ports": {"7663": "127.0.0.1:17663"}, "containers",
"env"}; "ports" says where a port of the pod really is. Prints its URL when it listens.

Control, for tests (GET): /_stub/cut?pod=x cuts the live forwards, /_stub/delete?pod=x removes the pod and
cuts, /_stub/delay?seconds=3 makes upgrades slow, /_stub/forbid?on=1 refuses port-forward,
/_stub/secret?name=x&token=y adds a Secret.

Standard library only. Not a model of a cluster: no watch, no exec, no authentication.
"""
import argparse
import base64
import json
import re
import socket
import socketserver
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler

import spdy
import websocket

SUBPROTOCOL = "portforward.k8s.io"
PATH = re.compile(r"/api/v1/namespaces/(?P<ns>[^/]+)/(?P<kind>pods|secrets)"
                  r"(/(?P<name>[^/]+)(/(?P<sub>[a-z]+))?)?$")


class Cluster:
    def __init__(self, version, websocket_allowed):
        self.version, self.websocket_allowed = version, websocket_allowed
        self.pods, self.secrets = {}, {}
        self.delay_seconds, self.forbid = 0.0, False
        self._live, self._lock = [], threading.Lock()

    def add(self, pod):
        self.pods[(pod.get("ns", "default"), pod["name"])] = pod

    def enter(self, pod_key, connection):
        with self._lock:
            self._live.append((pod_key, connection))

    def leave(self, connection):
        with self._lock:
            self._live = [entry for entry in self._live if entry[1] is not connection]

    def cut(self, pod_name):
        with self._lock:
            live = [connection for (_, name), connection in self._live if name == pod_name]
        for connection in live:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        return len(live)


def pod_object(pod):
    """The API object of an entry of pods.json."""
    phase = pod.get("phase", "Running")
    env = [{"name": name, "value": value} for name, value in pod.get("env", {}).items()]
    containers = [{"name": name, "image": "stub/" + name, "env": env}
                  for name in pod.get("containers", ["app"])]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod["name"], "namespace": pod.get("ns", "default"), "uid": "stub",
                     "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": "node-1", "containers": containers},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def discovery(path):
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
    if path != "/api/v1":
        return None
    resources = [{"name": name, "singularName": kind.lower(), "namespaced": True, "kind": kind,
                  "verbs": ["get", "list", "create"]}
                 for name, kind in (("pods", "Pod"), ("secrets", "Secret"),
                                    ("pods/portforward", "PodPortForwardOptions"))]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1",
            "resources": resources}


def pump(source_read, sink_write):
    """Copies until the source is empty."""
    while True:
        data = source_read()
        if not data:
            return
        sink_write(data)


class Forward:
    """Pairs the data and error streams of one forwarded connection and copies bytes."""

    def __init__(self, pod):
        self._pod, self._waiting = pod, {}

    def on_stream(self, stream):
        request = stream.headers.get("requestid", "0")
        pair = self._waiting.setdefault(request, {})
        pair[stream.headers.get("streamtype")] = stream
        if "data" in pair and "error" in pair:
            del self._waiting[request]
            threading.Thread(target=self._run, args=(pair["data"], pair["error"]), daemon=True).start()

    def _dial(self, port):
        where = self._pod.get("ports", {}).get(port)
        if not where:
            raise OSError("connection refused")
        host, _, number = where.rpartition(":")
        connection = socket.create_connection((host, int(number)), 5)
        connection.settimeout(None)
        return connection

    def _run(self, data, error):
        port = data.headers["port"]
        try:
            connection = self._dial(port)
        except OSError as problem:  # in the words of a container runtime
            text = (f"error forwarding port {port} to pod {self._pod['name']}, uid : failed to connect to "
                    f"localhost:{port} inside namespace: {problem}")
            error.write(text.encode(), fin=True)
            data.write(b"", fin=True)
            return
        threading.Thread(target=self._upstream, args=(data, connection), daemon=True).start()
        try:
            pump(lambda: connection.recv(65536), data.write)
            data.write(b"", fin=True)
            error.write(b"", fin=True)
        except OSError:
            pass

    @staticmethod
    def _upstream(data, connection):
        try:
            pump(data.read, connection.sendall)
            if data.was_reset:
                connection.close()
            else:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster = None

    def log_message(self, *unused):
        pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = {name: values[0] for name, values in urllib.parse.parse_qs(url.query).items()}
        path = url.path.rstrip("/")
        if path.startswith("/_stub/"):
            return self._answer(self._control(path[7:], query))
        if path == "/version":
            return self._answer(self._version())
        found = discovery(path)
        if found:
            return self._answer(found)
        match = PATH.match(path)
        if not match:
            return self._refuse(404, "NotFound", "the server could not find the requested resource")
        return self._resource(**match.groupdict())

    do_POST = do_GET

    def _answer(self, value, code=200):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, code, reason, message):
        self._answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                      "message": message, "reason": reason, "code": code}, code)

    def _version(self):
        minor = self.cluster.version.split(".")[1]
        return {"major": "1", "minor": minor, "gitVersion": "v" + self.cluster.version,
                "gitCommit": "stub", "gitTreeState": "clean", "buildDate": "2025-01-01T00:00:00Z",
                "goVersion": "go1.23", "compiler": "gc", "platform": "linux/amd64"}

    def _control(self, what, query):
        cluster = self.cluster
        if what == "cut":
            return {"cut": cluster.cut(query["pod"])}
        if what == "delete":
            cluster.pods = {key: pod for key, pod in cluster.pods.items() if key[1] != query["pod"]}
            return {"cut": cluster.cut(query["pod"])}
        if what == "delay":
            cluster.delay_seconds = float(query["seconds"])
        elif what == "forbid":
            cluster.forbid = query["on"] == "1"
        elif what == "secret":
            cluster.secrets[query["name"]] = query["token"]
        return {}

    def _resource(self, ns, kind, name, sub, **unused):
        if kind == "secrets":
            return self._secret(name)
        pod = self.cluster.pods.get((ns, name))
        if name and not pod:
            return self._refuse(404, "NotFound", f'pods "{name}" not found')
        if sub == "portforward":
            return self._port_forward(ns, pod)
        if name:
            return self._answer(pod_object(pod))
        items = [pod_object(pod) for (pod_ns, _), pod in self.cluster.pods.items() if pod_ns == ns]
        return self._answer({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    def _secret(self, name):
        token = self.cluster.secrets.get(name)
        if token is None:
            return self._refuse(404, "NotFound", f'secrets "{name}" not found')
        return self._answer({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name},
                             "data": {"token": base64.b64encode(token.encode()).decode()}})

    def _port_forward(self, ns, pod):
        time.sleep(self.cluster.delay_seconds)
        if self.cluster.forbid:
            return self._refuse(403, "Forbidden", f'pods "{pod["name"]}" is forbidden: User "stub" '
                                'cannot create resource "pods/portforward"')
        connection = self._upgrade()
        if connection is None:
            return self._refuse(400, "BadRequest", "Upgrade request required")
        self.close_connection = True
        self.cluster.enter((ns, pod["name"]), self.connection)
        try:
            spdy.Session(connection, Forward(pod).on_stream).serve()
        finally:
            self.cluster.leave(self.connection)
        return None

    def _upgrade(self):
        """The connection that speaks SPDY now, or None."""
        wanted = (self.headers.get("Upgrade") or "").lower()
        if wanted == "websocket" and self.cluster.websocket_allowed:
            self._switch({"Upgrade": "websocket", "Connection": "Upgrade",
                          "Sec-WebSocket-Accept": websocket.accept_key(self.headers["Sec-WebSocket-Key"]),
                          "Sec-WebSocket-Protocol": "SPDY/3.1+" + SUBPROTOCOL})
            return websocket.ByteStream(self.connection)
        if wanted.startswith("spdy"):
            self._switch({"Upgrade": "SPDY/3.1", "Connection": "Upgrade",
                          "X-Stream-Protocol-Version": SUBPROTOCOL})
            return self.connection
        return None

    def _switch(self, headers):
        lines = ["HTTP/1.1 101 Switching Protocols"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.wfile.flush()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, EOFError)):
            super().handle_error(request, client_address)


def write_kubeconfig(path, url, namespace):
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "stub",
                   "clusters": [{"name": "stub", "cluster": {"server": url}}],
                   "users": [{"name": "stub", "user": {}}],
                   "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "stub",
                                                             "namespace": namespace}}]}, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--pods", required=True)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--version", default="1.32.4")
    parser.add_argument("--no-websocket", action="store_true")
    arguments = parser.parse_args()
    cluster = Cluster(arguments.version, not arguments.no_websocket)
    with open(arguments.pods, encoding="utf-8") as file:
        for pod in json.load(file):
            cluster.add(pod)
    Handler.cluster = cluster
    server = Server(("127.0.0.1", arguments.port), Handler)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    write_kubeconfig(arguments.kubeconfig, url, "default")
    print(url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
