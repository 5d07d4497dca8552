# SPDX-License-Identifier: Apache-2.0
# Root file systems of fresh Debian machines, for the scripts of this folder; to be sourced, as root. A minimal
# root of each suite is made once by debootstrap and kept in the cache; every run works on a copy that it deletes.
# shellcheck shell=bash

FRESH_CACHE=${SONDE_CACHE:-${HOME:-/root}/.cache/sonde}/roots

fresh_skip() { printf 'skipped: %s\n' "$*" >&2; exit 77; }

# The archive that this machine has its packages from.
debian_archive() {
  # shellcheck disable=SC2016  # apt expands these
  apt-get indextargets --format '$(CREATED_BY) $(ORIGIN) $(REPO_URI)' |
    awk '$1 == "Packages" && $2 == "Debian" && $3 !~ /security/ { print $3; exit }'
}

# fresh_root SUITE DIRECTORY: a copy of the suite's minimal root.
fresh_root() {
  local suite=$1 directory=$2 kept=$FRESH_CACHE/$1
  [[ $(id -u) == 0 ]] || fresh_skip "needs root"
  command -v debootstrap >/dev/null || fresh_skip "needs debootstrap; scripts/setup installs it"
  if [[ ! -e $kept/.complete ]]; then
    rm -rf "$kept"
    mkdir -p "$kept"
    debootstrap --variant=minbase "$suite" "$kept" "$(debian_archive)" >"$kept.log" 2>&1 ||
      fresh_skip "debootstrap of $suite failed: $(tail -n 1 "$kept.log")"
    rm -f "$kept"/var/cache/apt/archives/*.deb
    touch "$kept/.complete"
  fi
  cp -a --reflink=auto "$kept/." "$directory"
  cp /etc/resolv.conf /etc/hosts "$directory/etc/"
}

# in_root DIRECTORY COMMAND…: runs it there with its own mounts, processes and loopback-only names; all of them are gone
# when it ends, and nothing of this machine's caches or settings is visible.
in_root() {
  local directory=$1
  shift
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare --mount --pid --ipc --fork --kill-child --propagation private bash -euc '
    root=$1
    shift
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/dev/shm"
    mount -t tmpfs tmpfs "$root/run"
    exec chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TERM=dumb "$@"
  ' in_root "$directory" "$@"
}
