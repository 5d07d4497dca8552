# SPDX-License-Identifier: Apache-2.0
"""Who burns the core? An nginx worker that backtracks in a bad regular expression, also after a reload ended it."""
import signal
import subprocess
import urllib.error
import urllib.request

from hot_check import SENSITIVE, SONDE, check_hot, check_later, favour
from lab import can_connect, read_file
from scenarios.nginx import workers

TARGET, NEEDS, PORT = "nginx", ["nginx"], 18082
NEEDS = [*NEEDS, *([] if SONDE else ["sonde"])]
CONFIG = """
worker_processes 2; daemon off; pid {0}/nginx.pid; error_log {0}/error.log crit; user www-data;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u;
  scgi_temp_path {0}/s;
  server {{ listen 127.0.0.1:{1}; location / {{ return 200 "good"; }} location ~ "^/(x+x+)+[^x]$" {{ return 200 "never"; }} }}
}}
"""
LOAD = f"""
import socket, time
end = time.time() + 7
while time.time() < end:
    s = socket.create_connection(("127.0.0.1", {PORT}))
    s.sendall(b"GET /" + b"x" * 40 + b" HTTP/1.0\\r\\n\\r\\n"); s.recv(100); s.close()
"""


def get(path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=20) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code


def cpu_ticks(pid):
    return sum(int(word) for word in read_file(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[11:13])


def run(lab):
    config = lab.write("nginx.conf", CONFIG.format(lab.directory, PORT))
    master = lab.start(["nginx", "-p", lab.directory, "-c", config], ready=lambda: can_connect(PORT),
                       **SENSITIVE)
    favour(master)
    lab.note([get("/fine"), get("/" + "x" * 40)])
    lab.wait_for(lambda: len(workers(master)) == 2)
    lab.wait_for(lambda: False, 2)
    load = subprocess.Popen(["/usr/bin/python3", "-c", LOAD], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, env=lab.environment(False))
    lab.note(f"load {load.wait(60)}")
    old = workers(master)
    # The kernel gives the connections to whichever worker waits.
    hottest = max(old, key=cpu_ticks)
    check_hot(lab, "a bad regular expression", hottest, ["pcre2_match_8"], least=0.4)
    master.send_signal(signal.SIGHUP)
    lab.note(f"reloaded {lab.wait_for(lambda: len(workers(master)) == 2 and not set(workers(master)) & set(old))}")
    check_hot(lab, "after its process ended", hottest, ["pcre2_match_8"], least=0.4)
    check_later(lab, "after its process ended", hottest, hottest, "pcre2_match_8", least=0.4)
    lab.end(master, signal.SIGQUIT)
