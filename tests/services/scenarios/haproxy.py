# SPDX-License-Identifier: Apache-2.0
"""haproxy: master and worker with threads, its own answers, a proxied server, reload by SIGUSR2, end by SIGUSR1."""
import signal
import urllib.error
import urllib.request

from lab import can_connect

TARGET, NEEDS, PORT = "haproxy", ["haproxy"], 18081
CONFIG = """
global
  nbthread 3
  maxconn 500
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend f
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain string "answer" if {{ path /answer }}
  http-request deny deny_status 403 if {{ path_reg ^/(a+)+$ }}
  default_backend b
backend b
  compression algo gzip
  compression type text/html
  server s 127.0.0.1:{back}
listen l
  bind 127.0.0.1:{back}
  http-request return status 200 content-type text/html lf-string "%[rand] {filler}"
"""
LOAD = f"""
import socket, time
end = time.time() + 12
while time.time() < end:
    s = socket.create_connection(("127.0.0.1", {PORT})); s.settimeout(5)
    for i in range(100):
        s.sendall(b"GET /%s HTTP/1.1\\r\\nHost: localhost\\r\\nAccept-Encoding: gzip\\r\\n\\r\\n" %
                  (b"answer" if i % 2 else b"page"))
        if not s.recv(65536): break
    s.close()
"""


def get(path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=10) as answer:
            return answer.status, answer.headers["content-type"], len(answer.read()) > 5
    except urllib.error.HTTPError as error:
        return error.code


def run(lab):
    config = lab.write("haproxy.cfg", CONFIG.format(port=PORT, back=PORT + 1, filler="filler " * 500))
    lab.note(f"checked {lab.run(['haproxy', '-c', '-f', config], preload=True).returncode}")
    master = lab.start(["haproxy", "-W", "-db", "-f", config], ready=lambda: can_connect(PORT))
    lab.note([get("/answer"), get("/page"), get("/aaaaaaaaaa")])
    # The master executes itself anew after the fork, so the worker's agent is its own, a few seconds later.
    with open(f"/proc/{master.pid}/task/{master.pid}/children", encoding="utf-8") as children:
        worker = int(children.read().split()[0])
    lab.profile_process(worker, ["/usr/bin/python3", "-c", LOAD])
    master.send_signal(signal.SIGUSR2)
    lab.note(f"reloaded {lab.wait_for(lambda: 'Reloading' in lab.log('haproxy') or 'New worker' in lab.log('haproxy'))}")
    lab.wait_for(lambda: False, 1)
    lab.note([get("/answer"), get("/page")])
    lab.end(master, signal.SIGUSR1)
    log = lab.log("haproxy")
    lab.note({word: log.count(word) for word in ("ALERT", "exited with code 1", "signal 11")})
