#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/setup --demo and scripts/demo on a fresh Debian: a new minimal root, a clean clone of what is committed,
# no cache and no setting of this machine. Usage: demo.sh [SUITE] (default bookworm). FRESH_KEEP: a directory that
# gets what was printed. Exit 77: cannot run here.
set -euo pipefail
SOURCE=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
# shellcheck source=tests/fresh/debian_root.sh
source "$SOURCE/tests/fresh/debian_root.sh"
SUITE=${1:-bookworm}
WORK=$(mktemp -d)
trap 'rm -rf --one-file-system "$WORK"' EXIT

say() { printf '\n== %s: %s\n' "$(date +%T)" "$*"; }

# Lines that only a demo that went through prints.
expect() {
  grep -Eq "$1" "$WORK/demo.log" || { printf 'the demo did not print: %s\n' "$1" >&2; return 1; }
}

say "a fresh $SUITE"
mkdir "$WORK/root"
fresh_root "$SUITE" "$WORK/root"
git clone -q --no-hardlinks "$SOURCE" "$WORK/root/root/sonde"
say "scripts/setup --demo"
in_root "$WORK/root" bash -c 'cd ~/sonde && apt-get -qq update && ./scripts/setup --demo'
say "scripts/demo"
in_root "$WORK/root" bash -c 'cd ~/sonde && DEMO_SECONDS=5 ./scripts/demo' 2>&1 | tee "$WORK/demo.log"
[[ -z ${FRESH_KEEP:-} ]] || cp "$WORK/demo.log" "$FRESH_KEEP/demo-$SUITE.log"
say "checks"
expect 'Where does its CPU time go'
expect '[0-9.]+% .*(redis|processCommand|call|aeProcessEvents|epoll_wait|write|read)'
expect 'Total samples = '
expect 'sonde_thread_cpu_seconds_total'
expect '^\$ sonde status'
say "the demo runs on a fresh $SUITE"
