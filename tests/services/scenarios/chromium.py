# SPDX-License-Identifier: Apache-2.0
"""chromium: renders a local page without a window; a script fills it. Its own sandbox is a seccomp filter."""
TARGET, NEEDS = "chromium", ["chromium"]

PAGE = """<!doctype html><title>t</title><canvas id=c></canvas><p id=p></p><script>
let s = 0; for (let i = 0; i < 3e6; i++) s += i % 11;
c.getContext("2d").fillRect(0, 0, 9, 9);
p.textContent = "sum " + s + " " + c.toDataURL().length;</script>"""


def run(lab):
    page = "file://" + lab.write("page.html", PAGE)
    for extra in (["--no-sandbox"], ["--no-sandbox", "--no-zygote"], ["--no-sandbox", "--single-process"]):
        done = lab.run(["chromium", "--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", *extra,
                        f"--user-data-dir={lab.path('profile')}", "--dump-dom", page], preload=True, timeout=60)
        lab.note(f"{extra}: {done.returncode} {done.stdout}")
