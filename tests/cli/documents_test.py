# SPDX-License-Identifier: Apache-2.0
"""What sonde exports, in what it is exported for: flame graphs in Chromium, speedscope files in speedscope.

speedscope and the schema of its files come from npm, pinned by viewer/package-lock.json, once into
$SONDE_CACHE/viewer-<hash>. Both viewers run without a display, on loopback only.
"""
import functools
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import xml.etree.ElementTree

import jsonschema

from harness import Case

HERE = pathlib.Path(__file__).resolve().parent / "viewer"
sys.path.insert(0, str(HERE.parents[1] / "shared"))
import npm_packages
PICTURES = os.environ.get("SONDE_PICTURES", "")  # a directory that keeps the pictures, for looking at them


def viewer_directory():
    return npm_packages.installed(HERE, "viewer") / "node_modules/speedscope/dist/release"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Documents(Case):
    @classmethod
    def setUpClass(cls):
        cls.profiles = tempfile.TemporaryDirectory(prefix="sonde-documents-")
        cls.addClassCleanup(cls.profiles.cleanup)

    def saved(self, verb):
        """A profile of the fake agent, captured once."""
        path = os.path.join(self.profiles.name, verb + ".pb.gz")
        if not os.path.exists(path):
            _, port = self.fake_agent()
            self.sonde(verb, f":{port}", *(["-s", "1"] if verb == "cpu" else []), "-o", path)
        return path

    def exported(self, verb, name, *options):
        self.sonde(verb, self.saved(verb), "-o", name, *options)
        return os.path.join(self.dir, name)

    def chromium(self, *arguments):
        done = subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                               "--enable-logging=stderr", f"--user-data-dir={self.dir}/chromium", "--window-size=1200,500",
                               "--virtual-time-budget=6000", *arguments], capture_output=True, text=True, timeout=120,
                              check=True)
        self.console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return done.stdout

    def picture(self, name, url):
        """Its bytes; a page of one colour has few."""
        path = os.path.join(PICTURES or self.dir, name)
        self.chromium(f"--screenshot={path}", url)
        return pathlib.Path(path).read_bytes()

    def driven(self, page, script):
        """What the page's title is after `script` has run in it."""
        text = pathlib.Path(page).read_text(encoding="utf-8")
        driven = pathlib.Path(self.dir, "driven.html")
        driven.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
        title = re.search(r"<title>(.*?)</title>", self.chromium("--dump-dom", driven.as_uri()))[1]
        self.assertEqual(self.console, [])  # errors and refused requests
        return title

    def test_speedscope_files_keep_to_the_published_schema(self):
        with open(viewer_directory() / "file-format-schema.json", encoding="utf-8") as file:
            check = jsonschema.Draft7Validator(json.load(file))
        for verb, options in (("cpu", []), ("cpu", ["--by", "line"]), ("cpu", ["--focus", "no such function"]),
                              ("heap", []), ("heap", ["--sort", "alloc"])):
            with open(self.exported(verb, "x.speedscope.json", *options), encoding="utf-8") as file:
                document = json.load(file)
            self.assertEqual([error.message for error in check.iter_errors(document)], [], f"{verb} {options}")
            for profile in document["profiles"]:
                self.assertEqual(len(profile["samples"]), len(profile["weights"]))
                self.assertAlmostEqual(sum(profile["weights"]), profile["endValue"] - profile["startValue"], delta=1)
                for sample in profile["samples"]:
                    self.assertTrue(all(0 <= index < len(document["shared"]["frames"]) for index in sample))
        document["profiles"][0]["unit"] = "fortnights"
        self.assertNotEqual(list(check.iter_errors(document)), [])  # or the schema says nothing

    def test_speedscope_shows_them(self):
        root = tempfile.mkdtemp(dir=self.dir)
        shutil.copytree(viewer_directory(), os.path.join(root, "viewer"))
        shutil.copy(self.exported("cpu", "x.speedscope.json"), root)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root))
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        url = f"{base}/viewer/index.html#profileURL={base}/x.speedscope.json"
        page = self.chromium("--dump-dom", url)
        self.assertRegex(page, r"<title>[^<]*0\.\d\d cores over (1\.\d\d s|9\d\d ms)[^<]* - speedscope</title>")
        self.assertRegex(page, r">worker-1 \(tid \d+\) <[^>]*>\(1/3\)<")  # the heaviest thread comes first
        self.assertTrue(any("Importing as speedscope json file" in line for line in self.console), self.console)
        self.assertGreater(len(self.picture("speedscope.png", url)), 10_000)

    def test_the_flame_page_draws_searches_and_zooms(self):
        page = self.exported("cpu", "x.html")
        uri = pathlib.Path(page).as_uri()
        self.assertGreater(len(self.picture("flame_page.png", uri)), 10_000)
        found = self.driven(page, "search.value = 'ParseRequest'; search.dispatchEvent(new Event('input'));"
                                  "document.title = document.getElementById('found').textContent;")
        share = float(re.fullmatch(r"found in ([\d.]+) %", found)[1])
        self.assertAlmostEqual(share, 59.4, delta=3)
        zoomed = self.driven(page, "const area = canvas.getBoundingClientRect();"
                                   "canvas.dispatchEvent(new MouseEvent('click', {clientX: area.left + 5,"
                                   " clientY: area.top + 2 * ROW + 5}));"
                                   "document.title = document.getElementById('summary').textContent;")
        self.assertRegex(zoomed, r"ParseRequest.*: [\d.]+ m?s, (59|60)\.\d % of all")

    def test_flame_graphs_are_pictures(self):
        for verb in ("cpu", "heap"):
            graph = self.exported(verb, "x.svg")
            texts = [element.text or "" for element in xml.etree.ElementTree.parse(graph).iter()]
            self.assertTrue(any("HashKey" in text for text in texts))
            self.assertGreater(len(self.picture(f"flame_{verb}.png", pathlib.Path(graph).as_uri())), 10_000)


if __name__ == "__main__":
    unittest.main(verbosity=2)
