# SPDX-License-Identifier: Apache-2.0
"""chromium: renders a local page without a window; a script fills it. Its own sandbox is a seccomp filter.

It has unwind data for few of its functions and keeps frame pointers in the others.
"""
TARGET, NEEDS = "chromium", ["chromium"]

PAGE = """<!doctype html><title>t</title><canvas id=c></canvas><p id=p></p><script>
let s = 0; for (let i = 0; i < 3e6; i++) s += i % 11;
c.getContext("2d").fillRect(0, 0, 9, 9);
p.textContent = "sum " + s + " " + c.toDataURL().length;</script>"""
LONG = """<!doctype html><title>t</title><p id=p></p><script>
let s = 0; const end = Date.now() + 9000; while (Date.now() < end) for (let i = 0; i < 3e6; i++) s += Math.sqrt(i) % 11;
p.textContent = "positive " + (s > 0);</script>"""
OPTIONS = ["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-sandbox"]


def run(lab):
    page = "file://" + lab.write("page.html", PAGE)
    for extra in ([], ["--no-zygote"], ["--single-process"]):
        done = lab.run(["chromium", *OPTIONS, *extra, f"--user-data-dir={lab.path('profile')}", "--dump-dom", page],
                       preload=True, timeout=60)
        lab.note(f"{extra}: {done.returncode} {done.stdout}")
    long = lab.start(["chromium", *OPTIONS, "--single-process", f"--user-data-dir={lab.path('long')}", "--dump-dom",
                      "file://" + lab.write("long.html", LONG)])
    lab.profile_process(long.pid, seconds=3)
    lab.note(f"ended with {long.wait(60)}, {'positive true' in lab.log('chromium')}")
