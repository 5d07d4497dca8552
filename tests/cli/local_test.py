# SPDX-License-Identifier: Apache-2.0
"""sonde on this machine: agents, sockets, Go programs, processes without an agent, the terminal."""
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
import unittest

import harness
from harness import CLEAN, ERROR, INCONCLUSIVE, SONDE, SOURCE, USAGE, Case


def socket_name(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        start = file.read().rsplit(")", 1)[1].split()[19]
    return f"{socket.gethostname()}-{pid}-{start}"


class CommandLine(Case):
    def test_usage_errors_exit_2_and_name_the_help(self):
        for arguments in (["cpu"], ["cpu", "1", "--by", "colour"], ["cpu", "1", "-s", "0"], ["nonsense", "1"],
                          ["set", "1", "cpu_hz"], ["run"],
                          ["heap", "1", "--age", "old"], ["heap", "1", "--sort", "size"], ["completion", "tcsh"], ["cpu", "x y"]):
            _, errors = self.sonde(*arguments, code=USAGE)
            self.assertTrue(errors.startswith("sonde: "), errors)

    def test_help_exits_0(self):
        self.assertIn("Verbs:", self.sonde("--help")[0])
        self.assertIn("--seconds", self.sonde("cpu", "--help")[0])

    def test_version(self):
        self.assertRegex(self.sonde("version")[0], r"^sonde \d+\.\d+\.\d+\n$")
        self.assertIn("version", self.sonde_json("version"))

    def test_bash_completion_works_in_bash(self):
        script = self.sonde("completion", "bash")[0]
        check = script + '\nCOMP_WORDS=(sonde cpu --by ""); COMP_CWORD=3; _sonde; echo "${COMPREPLY[@]}"\n' \
            'COMP_WORDS=(sonde st); COMP_CWORD=1; _sonde; echo "${COMPREPLY[@]}"\n' \
            'COMP_WORDS=(sonde cpu --fo); COMP_CWORD=2; _sonde; echo "${COMPREPLY[@]}"\n'
        done = subprocess.run(["bash", "-c", check], capture_output=True, text=True, check=True, timeout=20)
        self.assertEqual(done.stdout.splitlines(), ["function line module thread", "status", "--focus --format"])

    def test_reference_in_the_docs_is_up_to_date(self):
        reference = subprocess.run([os.environ["SONDE_REFERENCE"]], capture_output=True, text=True,
                                   check=True, timeout=20).stdout
        with open(os.path.join(SOURCE, "docs/cli.md"), encoding="utf-8") as file:
            text = file.read()
        part = text.split("<!-- reference: begin -->\n")[1].split("<!-- reference: end -->")[0]
        self.assertEqual(part.strip(), reference.strip(), "run sonde_cli_reference and paste its output")


class Agent(Case):
    def test_cpu_shows_the_known_shares(self):
        _, port = self.fake_agent()
        answer = self.sonde_json("cpu", f":{port}", "-s", "2")
        shares = {row["name"]: row["flat"] / answer["total"] for row in answer["rows"]}
        self.assertAlmostEqual(shares["sonde::testing::ParseRequest()"], 0.594, delta=0.02)
        self.assertAlmostEqual(shares["sonde::testing::HashKey()"], 0.297, delta=0.02)
        self.assertEqual(answer["lost"][0]["name"], "[signal blocked]")
        self.assertIn("no unwind data", answer["not_covered"][0])
        self.assertEqual(answer["threads"][0]["name"], "worker-1")

    def test_saved_profile_gives_the_same_answer(self):
        _, port = self.fake_agent()
        live = self.sonde_json("cpu", f":{port}", "-s", "1", "-o", "x.pb.gz")
        saved = self.sonde_json("cpu", "x.pb.gz")
        for key in ("rows", "threads", "total", "heaviest_stack", "lost", "not_covered"):
            self.assertEqual(saved[key], live[key], key)

    def test_profile_to_stdout_is_the_profile_and_nothing_else(self):
        _, port = self.fake_agent()
        done = subprocess.run([SONDE, "cpu", f":{port}", "-s", "1", "-o", "-"], env=self.env, capture_output=True,
                              timeout=30, check=True)
        self.assertEqual(done.stdout[:2], b"\x1f\x8b")
        self.assertEqual(done.stderr, b"")

    def test_by_and_filters(self):
        _, port = self.fake_agent()
        self.sonde("cpu", f":{port}", "-s", "1", "-o", "x.pb.gz")
        self.assertIn("worker-2 (tid", self.sonde("cpu", "x.pb.gz", "--by", "thread")[0])
        self.assertIn("fake_agent", self.sonde("cpu", "x.pb.gz", "--by", "module")[0])
        self.assertNotIn("ParseRequest", self.sonde("cpu", "x.pb.gz", "--focus", "HashKey")[0])
        self.assertNotIn("HashKey", self.sonde("cpu", "x.pb.gz", "--ignore", "HashKey")[0].replace(
            "ignore HashKey", ""))
        self.assertIn("3 more", self.sonde("cpu", "x.pb.gz", "--top", "2")[0])

    def test_status_as_text_and_json(self):
        agent, port = self.fake_agent()
        text, _ = self.sonde("status", f":{port}")
        for expected in ("agent 0.1.0", "100 Hz", "stack_cut 3", "no unwind data", "16.0 MiB"):
            self.assertIn(expected, text)
        self.assertEqual(self.sonde_json("status", f":{port}")["pid"], agent.pid)

    def test_heap_shows_the_known_holders_with_their_errors(self):
        _, port = self.fake_agent()
        answer = self.sonde_json("heap", f":{port}")
        rows = {row["name"]: row for row in answer["rows"]}
        parse, hashed = rows["sonde::testing::ParseRequest()"], rows["sonde::testing::HashKey()"]
        self.assertEqual((answer["type"], answer["interval_bytes"]), ("inuse_space", 512 << 10))
        self.assertEqual((parse["flat"], hashed["flat"]), (3 << 20, 9 << 20))
        # 3,072 blocks of 1 KiB at 512 KiB: six samples, 1/sqrt(6). Blocks of 1 MiB are nearly all seen.
        self.assertAlmostEqual(parse["flat_error"] / parse["flat"], 0.408, delta=0.005)
        self.assertAlmostEqual(hashed["flat_error"] / hashed["flat"], 0.1318, delta=0.005)
        self.assertIn("blocks from before are unknown, at most 1876 KiB", answer["sampled"][0])
        self.assertIn("no unwind data", answer["not_covered"][0])
        text, _ = self.sonde("heap", f":{port}", "--sort", "alloc")
        self.assertRegex(text, r"60\.0 MiB +±9\.\d % +75 % .*ParseRequest")
        self.assertIn(f"sonde heap :{port} -o heap.pb.gz", text)

    def test_heap_by_age_and_as_a_difference(self):
        _, port = self.fake_agent()
        text, _ = self.sonde("heap", f":{port}", "--age", "10m")
        self.assertIn("9.0 MiB ±", text)
        self.assertIn("older than 10m", text)
        self.assertNotRegex(text, r"\d MiB.*ParseRequest")
        self.sonde("heap", f":{port}")
        delta = self.sonde_json("heap", f":{port}", "-s", "1")
        self.assertEqual((delta["total"], delta["total_error"]), (1 << 20, None))
        self.assertGreater(delta["window_seconds"], 0.9)

    def test_a_saved_heap_gives_the_same_answer_and_every_document(self):
        _, port = self.fake_agent()
        live = self.sonde_json("heap", f":{port}", "-o", "h.pb.gz")
        saved = self.sonde_json("heap", "h.pb.gz")
        for key in ("rows", "total", "total_error", "heaviest_stack", "sampled", "not_covered"):
            self.assertEqual(saved[key], live[key], key)
        self.assertIn("ParseRequest", self.sonde("heap", "h.pb.gz", "--tree")[0])
        text, _ = self.sonde("heap", "h.pb.gz", "--by", "module", "--ignore", "HashKey")
        self.assertRegex(text, r"3\.0 MiB +±41 % +25 % +fake_agent")
        self.assertIn("12.0 MiB ±14 % of inuse_space", text)
        self.assertIn(", 14 samples", text)
        for name, sign in (("h.svg", "<svg"), ("h.html", "<!doctype html"), ("h.folded", "HandleConnection();")):
            self.sonde("heap", "h.pb.gz", "-o", name)
            with open(os.path.join(self.dir, name), encoding="utf-8") as file:
                self.assertIn(sign.lower(), file.read().lower(), name)
        _, errors = self.sonde("heap", "h.pb.gz", "--age", "1m", code=USAGE)
        self.assertIn("is a saved profile", errors)

    def test_memory_adds_up_and_says_what_is_no_leak(self):
        _, port = self.fake_agent()
        text, _ = self.sonde("memory", f"127.0.0.1:{port}")
        self.assertIn("429 of 512 MiB = RSS 415 + page cache 12 + kernel 2\n", text)
        self.assertRegex(text, r"allocator free +96 +##### +kept by glibc, not a leak")
        self.assertRegex(text, r"verdict +the allocator keeps 96 MiB \(not a leak\)")
        self.assertNotIn("shared memory", text)
        page = self.sonde_json("memory", f"127.0.0.1:{port}")
        self.assertEqual(sum(page["parts"].values()), page["rss_bytes"])
        cgroup = page["cgroup"]
        self.assertEqual(cgroup["rss_bytes"] + cgroup["page_cache_bytes"] + cgroup["tmpfs_bytes"] +
                         cgroup["kernel_bytes"] + cgroup["other_bytes"], cgroup["current_bytes"])

    def test_front_door_is_honest_about_what_it_does_not_search(self):
        _, port = self.fake_agent()
        text, _ = self.sonde(f":{port}")
        self.assertIn("ParseRequest", text)
        self.assertIn("does not look for them", text)
        self.assertIn("not_searched", self.sonde_json(f":{port}"))

    def test_set_off_and_on_over_the_unix_socket(self):
        path = os.path.join(self.dir, "agent.sock")
        self.fake_agent(unix=path)
        self.sonde("set", path, "cpu_hz=250", "--for", "60s")
        config = json.loads(subprocess.run(["curl", "-s", "--unix-socket", path, "http://localhost/debug/sonde/config"],
                                           capture_output=True, check=True, timeout=10).stdout)
        values = {setting["name"]: setting for setting in config["settings"]}
        self.assertEqual(values["SONDE_CPU_HZ"]["value"], "250")
        self.assertGreater(values["SONDE_CPU_HZ"]["remaining_seconds"], 0)
        self.sonde("off", path)
        for verb in (["cpu", path, "-s", "1"], ["heap", path]):
            _, errors = self.sonde(*verb, code=INCONCLUSIVE)  # never to be read as clean
            self.assertIn("off", errors)
            self.assertIn("sonde status", errors)
        self.sonde("on", path)
        self.sonde("cpu", path, "-s", "1")

    def test_a_refused_setting_says_what_was_expected(self):
        path = os.path.join(self.dir, "agent.sock")
        self.fake_agent(unix=path)
        _, errors = self.sonde("set", path, "cpu_hz=9999", code=ERROR)
        self.assertIn("1000", errors)

    def test_a_pid_finds_its_socket_in_the_run_directory(self):
        run_dir = os.path.join(self.dir, "run")
        os.mkdir(run_dir)
        path = os.path.join(self.dir, "agent.sock")
        agent, _ = self.fake_agent(unix=path)
        os.rename(path, os.path.join(run_dir, socket_name(agent.pid) + ".sock"))
        text, _ = self.sonde("status", agent.pid, env={"SONDE_RUN_DIR": run_dir})
        self.assertIn(f"pid {agent.pid} ", text)
        listed = self.sonde_json("list", env={"SONDE_RUN_DIR": run_dir})["agents"]
        self.assertIn(agent.pid, [entry["pid"] for entry in listed])

    def test_a_pid_finds_its_abstract_socket(self):
        # The name holds the pid, so a shell that knows it becomes the agent.
        command = ('IFS=" " read -r line < /proc/$$/stat; set -- ${line##*)}; '
                   f'exec {harness.FAKE_AGENT} --seconds 60 SONDE_LISTEN=127.0.0.1:{harness.free_port()} '
                   '--unix "unix:@sonde/$(cat /proc/sys/kernel/hostname)-$$-${20}"')
        agent = self.start(["/bin/sh", "-c", command], stdout=subprocess.PIPE, text=True, env=self.env)
        self.assertIn("listening", agent.stdout.readline())
        self.assertIn(f"pid {agent.pid} ", self.sonde("status", agent.pid)[0])
        self.assertIn(f"@sonde/{socket_name(agent.pid)}", self.sonde("list")[0])

    def test_list_removes_what_dead_processes_left_and_nothing_else(self):
        run_dir = os.path.join(self.dir, "run")
        os.mkdir(run_dir)
        stale = os.path.join(run_dir, "web-999999-1.sock")
        other = os.path.join(run_dir, "other.sock")
        for path in (stale, other):
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
        self.sonde("list", env={"SONDE_RUN_DIR": run_dir})
        self.assertFalse(os.path.exists(stale))
        self.assertTrue(os.path.exists(other))

    def test_nothing_listens(self):
        _, errors = self.sonde("cpu", f"127.0.0.1:{harness.free_port()}", code=ERROR)
        self.assertIn("nothing answers", errors)

    def test_agent_killed_in_the_middle_of_a_capture(self):
        agent, port = self.fake_agent()
        process = self.start([SONDE, "cpu", f":{port}", "-s", "20"], env=self.env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        harness.wait_for_capture(process)
        agent.kill()
        _, errors = process.communicate(timeout=20)
        self.assertEqual(process.returncode, ERROR)
        self.assertRegex(errors, r"cut off \d+\.\d s into a 20 s capture")

    def test_an_interrupt_ends_the_capture_by_that_signal(self):
        _, port = self.fake_agent()
        process = self.start([SONDE, "cpu", f":{port}", "-s", "60"], env=self.env)
        time.sleep(1)
        self.assertEqual(harness.send(process, signal.SIGINT), -signal.SIGINT)

    def test_garbage_instead_of_a_profile(self):
        with open(os.path.join(self.dir, "x"), "wb") as file:
            file.write(os.urandom(1000))
        _, errors = self.sonde("cpu", "./x", code=ERROR)
        self.assertIn("not a profile", errors)


class GoPrograms(Case):
    def test_cpu_of_a_stock_go_endpoint(self):
        process, port = self.go_program()
        for target in ([f"127.0.0.1:{port}"], [process.pid, "--port", port]):
            text, _ = self.sonde("cpu", *target, "-s", "1")
            self.assertIn("main.burnInnerLoop", text)
            self.assertIn("plain Go pprof endpoint", text)

    def test_heap_of_a_stock_go_endpoint(self):
        _, port = self.go_program()
        text, _ = self.sonde("heap", f"127.0.0.1:{port}")
        self.assertIn("inuse_space", text)
        self.assertIn("one sample in 512 KiB", text)
        self.assertIn("plain Go pprof endpoint", text)
        _, errors = self.sonde("heap", f"127.0.0.1:{port}", "--age", "1m", code=USAGE)
        self.assertIn("--age cannot be given", errors)

    def test_agent_only_verbs_say_so(self):
        _, port = self.go_program()
        for arguments in (["status", f":{port}"], ["off", f":{port}"], ["set", f":{port}", "a=b"]):
            _, errors = self.sonde(*arguments, code=INCONCLUSIVE)
            self.assertIn("plain Go pprof endpoint", errors)

    def test_a_static_program_gets_the_reason(self):
        process, _ = self.go_program()
        text, _ = self.sonde("cpu", process.pid, code=INCONCLUSIVE)
        self.assertIn("the loader ignores LD_PRELOAD here", text)
        self.assertIn("--port", text)
        _, errors = self.sonde("run", "--agent", SONDE, "--", harness.go_binary(), "1", "1", code=ERROR)
        self.assertIn("the loader ignores LD_PRELOAD here", errors)


class WithoutAgent(Case):
    def test_a_busy_process_shows_what_needs_no_agent(self):
        process = self.start([sys.executable, "-c", "import time\nend=time.time()+30\nwhile time.time()<end: pass"],
                             preexec_fn=harness.before_others)
        answer = self.sonde_json("cpu", process.pid, code=INCONCLUSIVE)
        self.assertFalse(answer["agent"])
        self.assertEqual(answer["threads"][0]["tid"], process.pid)
        self.assertGreater(answer["percent_of_core"], 5)
        self.assertGreater(answer["rss_kib"], 1000)
        text, _ = self.sonde(process.pid, code=INCONCLUSIVE)
        self.assertIn("sonde run --", text)

    def test_no_such_process(self):
        self.assertIn("there is no process", self.sonde("status", 2**22 - 1, code=ERROR)[1])


class Terminal(Case):
    def in_terminal(self, *arguments):
        """What a terminal of 80 columns gets, with escape sequences."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(SONDE, [SONDE, *map(str, arguments)], {**self.env, "TERM": "xterm"})
        text = b""
        try:
            while data := os.read(fd, 4096):
                text += data
        except OSError:
            pass
        os.close(fd)
        return text.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def test_progress_and_bold_labels_on_a_terminal_only(self):
        _, port = self.fake_agent()
        text, code = self.in_terminal("cpu", f":{port}", "-s", "2")
        self.assertEqual(code, CLEAN)
        self.assertIn("of 2 s", text)
        self.assertIn("\033[1mheaviest", text)
        plain, errors = self.sonde("cpu", f":{port}", "-s", "1")
        self.assertNotIn("\033", plain)
        self.assertEqual(errors, "")

    def test_table_rows_stay_within_the_width(self):
        _, port = self.fake_agent()
        text, _ = self.in_terminal("cpu", f":{port}", "-s", "1")
        rows = [re.sub(r"\033\[[0-9;]*[mK]", "", line) for line in text.split("\n") if " %  " in line[:20]]
        self.assertTrue(rows)
        self.assertLessEqual(max(len(row.rstrip("\r")) for row in rows), 80)

    def test_binary_is_not_written_to_a_terminal(self):
        _, port = self.fake_agent()
        text, code = self.in_terminal("cpu", f":{port}", "-s", "1", "-o", "-")
        self.assertEqual(code, USAGE)
        self.assertIn("binary", text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
