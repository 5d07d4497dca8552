# SPDX-License-Identifier: Apache-2.0
"""For preexec_fn of a process that must get the processor when it wants it, whatever else the machine runs."""
import os


def before_others():
    try:
        os.nice(-15)
    except OSError:
        pass  # not root: then only an idle machine will do
