# SPDX-License-Identifier: Apache-2.0
"""Packages of npm that tests need, pinned by a package-lock.json, installed once into $SONDE_CACHE."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile


def installed(where, name):
    """The directory that has node_modules of the package.json in `where`: NAME-<hash>, made when it is not there yet."""
    lock = where / "package-lock.json"
    cache = pathlib.Path(os.environ.get("SONDE_CACHE", pathlib.Path.home() / ".cache" / "sonde"))
    ready = cache / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if ready.exists():
        return ready
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("expected the program npm; scripts/setup installs it")
    cache.mkdir(parents=True, exist_ok=True)
    fresh = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
    shutil.copy(where / "package.json", fresh)
    shutil.copy(lock, fresh)
    subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=fresh, check=True, timeout=300,
                   capture_output=True)
    try:
        fresh.rename(ready)
    except OSError:  # another run was first
        shutil.rmtree(fresh)
    return ready
