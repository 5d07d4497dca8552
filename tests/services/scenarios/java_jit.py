# SPDX-License-Identifier: Apache-2.0
"""java as it is started by default: compiled code keeps no frame pointers, and a stack that ends there says so."""
import signal

from scenarios.java import WORK

TARGET, NEEDS = "java", ["java"]
CUT = r"\[JIT without frame pointers\]"


def run(lab):
    process = lab.start(["java", "-Xmx256m", lab.write("Work.java", WORK)])
    lab.note(f"ready {lab.wait_for(lambda: 'ready' in lab.log('java'), 60)}")
    lab.profile_process(process.pid, seconds=3, roots=CUT, functions={CUT: 0.5})
    lab.end(process, signal.SIGTERM)
    lab.note(lab.log("java"))
