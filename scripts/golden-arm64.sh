#!/usr/bin/env bash
# The reference cases on ARM: builds spc for aarch64, runs its golden test under user-mode emulation, and compares what every
# streaming chart gives with this machine's results, bit for bit. Installs the cross linker, the emulator and the Rust target.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=aarch64-unknown-linux-gnu
if [[ ! -d ../shared/reference/spc ]]; then
  echo "golden-arm64.sh: skipped, there are no reference cases at ../shared/reference/spc"
  exit 0
fi
if [[ "$(uname -m)" == aarch64 ]]; then
  echo "golden-arm64.sh: skipped, this machine is ARM itself and \`make test\` has run them"
  exit 0
fi
scripts/setup.sh arm64

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER='qemu-aarch64-static -L /usr/aarch64-linux-gnu'

# With CI=true the test fails where no case ran.
CI=true cargo test --quiet --locked -p spc --target "$target" --test golden -- --nocapture \
  | grep -E '^[0-9]+ passed|^test result'

bits="$(mktemp -d)"
trap 'rm -r "$bits"' EXIT
cargo run --quiet --locked -p spc --example bits >"$bits/here"
cargo run --quiet --locked -p spc --target "$target" --example bits >"$bits/arm"
if ! diff "$bits/here" "$bits/arm"; then
  echo "golden-arm64.sh: these charts give other bits on ARM (>) than here (<)" >&2
  exit 1
fi
echo "golden-arm64.sh: $(wc -l <"$bits/arm") streaming charts give the same bits on ARM as here"
