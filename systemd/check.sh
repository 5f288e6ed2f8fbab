#!/usr/bin/env bash
# Checks what systemd would make of the files in this folder, without installing anything:
# the unit has no unknown key or bad value, its exposure is at most 2.0, and user and folders come out as meant.
# Prints `skipped` where systemd's tools are absent, except in CI, where it must run.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# systemd-analyze counts exposure in tenths.
exposure_tenths_max=20

for tool in systemd-analyze systemd-sysusers systemd-tmpfiles; do
  if ! command -v "$tool" >/dev/null; then
    if [[ "${CI:-}" == true ]]; then
      echo "systemd/check.sh: $tool is absent, and this is CI; install the Debian package systemd" >&2
      exit 1
    fi
    echo "skipped: systemd/check.sh needs $tool"
    exit 0
  fi
done

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# The unit is checked as it is, but for the program, which need not be installed here.
sed 's#/usr/bin/jidoka#/bin/true#' "$here/jidoka.service" >"$work/jidoka.service"

verify() {
  systemd-analyze verify --recursive-errors=yes --man=no "$1"
}

verify "$work/jidoka.service"
echo "systemd/check.sh: the unit is valid"

# The check itself must be able to fail.
mkdir "$work/wrong"
sed 's/^RestartSec=/RestartSecs=/' "$work/jidoka.service" >"$work/wrong/jidoka.service"
if verify "$work/wrong/jidoka.service" 2>/dev/null; then
  echo "systemd/check.sh: a misspelt key went unnoticed" >&2
  exit 1
fi

if ! systemd-analyze security --offline=yes --no-pager --threshold="$exposure_tenths_max" "$work/jidoka.service" >"$work/exposure"; then
  cat "$work/exposure" >&2
  echo "systemd/check.sh: the unit is more exposed than $exposure_tenths_max tenths" >&2
  exit 1
fi
echo "systemd/check.sh:$(grep -o 'Overall exposure level.*: [0-9.]*' "$work/exposure" | sed 's/^/ /')"

# User and folders, made in an empty root. Only root can give folders away.
root="$work/root"
mkdir -p "$root/etc"
systemd-sysusers --root="$root" "$here/jidoka.sysusers.conf" 2>/dev/null
if ! grep -q '^jidoka:.*:/var/lib/jidoka:/usr/sbin/nologin$' "$root/etc/passwd"; then
  echo "systemd/check.sh: the user jidoka was not made as meant" >&2
  exit 1
fi
echo "systemd/check.sh: the user is made as meant"
if [[ "$(id -u)" == 0 ]]; then
  mkdir -p "$root/etc/jidoka"
  touch "$root/etc/jidoka/grading.token"
  systemd-tmpfiles --root="$root" --create "$here/jidoka.tmpfiles.conf"
  modes="$(stat -c '%a' "$root/etc/jidoka" "$root/var/lib/jidoka" "$root/etc/jidoka/grading.token" | paste -sd ' ')"
  if [[ "$modes" != "750 750 640" ]]; then
    echo "systemd/check.sh: modes of folders and token are $modes, meant are 750 750 640" >&2
    exit 1
  fi
  echo "systemd/check.sh: folders are made as meant"
else
  echo "skipped: folders (giving them to another user takes root)"
fi
