# SPDX-License-Identifier: Apache-2.0
"""sonde run: what the command gets, what is refused, and a real program under the real agent."""
import os
import unittest

import harness
from harness import ERROR, SONDE, Case


class Run(Case):
    def printed(self, *arguments, env=None):
        return dict(line.split("=", 1) for line in
                    self.sonde("run", "--agent", SONDE, "--print", *arguments, env=env)[0].splitlines()
                    if "=" in line)

    def test_options_become_settings_and_the_process_is_the_target(self):
        variables = self.printed("--hz", "200", "--set", "max_timers=7", "--listen", "127.0.0.1:1", "--", "ls", "-l")
        self.assertEqual(variables["SONDE_CPU_HZ"], "200")
        self.assertEqual(variables["SONDE_MAX_TIMERS"], "7")
        self.assertEqual(variables["SONDE_LISTEN"], "127.0.0.1:1")
        self.assertRegex(variables["SONDE_TARGET"], r"^pid:\d+$")

    def test_an_existing_preload_is_kept(self):
        # A build with a sanitizer wants its runtime first; this one preloads something into the command itself.
        variables = self.printed("--", "ls", env={"LD_PRELOAD": "/lib/x86_64-linux-gnu/libm.so.6",
                                                  "ASAN_OPTIONS": "verify_asan_link_order=0"})
        self.assertEqual(variables["LD_PRELOAD"], SONDE + ":/lib/x86_64-linux-gnu/libm.so.6")

    def test_commands_that_cannot_be_preloaded_are_refused_with_the_reason(self):
        cases = {"no-such-command": "there is no command", "/etc/passwd": "there is no command"}
        setuid = next((path for path in ("/usr/bin/passwd", "/usr/bin/su") if os.path.exists(path)), "")
        if setuid and os.geteuid() != 0:
            cases[setuid] = "setuid"
        for command, reason in cases.items():
            self.assertIn(reason, self.sonde("run", "--agent", SONDE, "--", command, code=ERROR)[1])
        broken = os.path.join(self.dir, "elf32")
        with open(broken, "wb") as file:
            file.write(b"\x7fELF\x01\x01\x01" + bytes(57))
        os.chmod(broken, 0o755)
        self.assertIn("not a 64-bit x86 program",
                      self.sonde("run", "--agent", SONDE, "--", broken, code=ERROR)[1])

    def test_missing_agent_library_is_an_error(self):
        self.assertIn("no agent library", self.sonde("run", "--agent", "/no/such", "--", "ls", code=ERROR)[1])

    @unittest.skipUnless(harness.PRELOAD, "libsonde.so is not built in this configuration")
    def test_the_command_runs_as_itself(self):
        text, errors = self.sonde("run", "--agent", harness.PRELOAD, "--", "/bin/sh", "-c", "echo out; exit 7", code=7)
        self.assertEqual((text, errors), ("out\n", ""))

    @unittest.skipUnless(harness.PRELOAD, "libsonde.so is not built in this configuration")
    def test_a_real_program_under_the_real_agent(self):
        run_dir = os.path.join(self.dir, "run")
        burn = "import time\nend=time.time()+60\nwhile time.time()<end: sum(i*i for i in range(1000))"
        process = self.start([SONDE, "run", "--agent", harness.PRELOAD, "--run-dir", run_dir, "--listen",
                              f"127.0.0.1:{harness.free_port()}", "--", "/usr/bin/python3", "-c", burn], env=self.env)
        harness.wait_until(lambda: os.path.isdir(run_dir) and os.listdir(run_dir), 20, "the agent's socket")
        answer = self.sonde_json("cpu", process.pid, "-s", "3", env={"SONDE_RUN_DIR": run_dir})
        self.assertGreater(answer["samples"], 20)
        self.assertIn("python3", answer["process"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
