# SPDX-License-Identifier: Apache-2.0
"""nginx: master and workers of another user; load, reload, orderly quit; its log stays free of alerts."""
import os
import random
import signal
import urllib.request

from lab import can_connect, read_file

TARGET, NEEDS, PORT = "nginx", ["nginx"], 18080
CONFIG = """
worker_processes 2; daemon off; pid {0}/nginx.pid; error_log {0}/error.log notice; user www-data;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u;
  scgi_temp_path {0}/s; gzip on; gzip_types text/plain; gzip_comp_level 9;
  server {{ listen 127.0.0.1:{1}; root {0}/www; location /answer {{ return 200 "{2}"; }} }}
}}
"""
LOAD = f"""
import socket, time
end = time.time() + 6
while time.time() < end:
    s = socket.create_connection(("127.0.0.1", {PORT})); f = s.makefile("rb")
    for i in range(50):
        s.sendall(b"GET /page.txt HTTP/1.1\\r\\nHost: localhost\\r\\nAccept-Encoding: gzip\\r\\nConnection: %s\\r\\n\\r\\n" %
                  (b"close" if i == 49 else b"keep-alive"))
        while i < 49 and f.readline() not in (b"0\\r\\n", b""): pass
    f.read()
"""


def get(path):
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=10) as answer:
        return answer.read().decode()


def workers(master):
    return sorted(int(pid) for pid in read_file(f"/proc/{master.pid}/task/{master.pid}/children").split())


def users(master):
    return [os.stat(f"/proc/{pid}").st_uid for pid in workers(master)]


def run(lab):
    os.makedirs(lab.path("www"))
    # Neither random nor regular, so that compression is work.
    words = random.Random(7).choices(["quick", "brown", "fox", "jumps", "over", "lazy", "dog", "and", "back"], k=40000)
    lab.write("www/page.txt", " ".join(words))
    config = lab.write("nginx.conf", CONFIG.format(lab.directory, PORT, "before"))
    master = lab.start(["nginx", "-p", lab.directory, "-c", config], ready=lambda: can_connect(PORT))
    lab.note(get("/answer"))
    lab.note(len(get("/page.txt")))
    lab.wait_for(lambda: len(workers(master)) == 2 and 0 not in users(master))
    lab.note(f"workers {len(workers(master))}, users {users(master)}")
    lab.profile(load=["/usr/bin/python3", "-c", LOAD])
    lab.note(f"threads of the workers {[threads(pid) for pid in workers(master)]}")
    lab.write("nginx.conf", CONFIG.format(lab.directory, PORT, "after"))
    old = workers(master)
    master.send_signal(signal.SIGHUP)
    lab.note(f"reloaded {lab.wait_for(lambda: len(workers(master)) == 2 and not set(workers(master)) & set(old))}")
    lab.note(get("/answer"))
    lab.end(master, signal.SIGQUIT)
    log = read_file(lab.path("error.log"))
    lab.note({word: log.count(f"[{word}]") for word in ("alert", "crit", "emerg", "error")})


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))
