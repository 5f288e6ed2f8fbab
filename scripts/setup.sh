#!/usr/bin/env bash
# Puts in place what building (`setup.sh run`), testing (`setup.sh test`), measuring (`setup.sh bench`) or testing `spc` on
# emulated ARM (`setup.sh arm64`) needs and this machine lacks: Debian packages, a Rust toolchain, ONNX Runtime. It says what it does, installs only what is missing, and does nothing when all is there.
set -euo pipefail

purpose="${1:-run}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# The oldest compiler that the workspace promises to work with, and the one it is developed with.
rust_min=1.92
rust_pinned=1.95.0

# OpenCV's core and imgproc only: its video and picture modules would bring 230 MB. The binding generator needs the clang
# program and libclang; the C++ itself is compiled by g++.
packages=(ca-certificates g++ pkg-config libopencv-core-dev libopencv-imgproc-dev clang-14 libclang1-14)
# The camera program's libraries, a GigE camera without hardware, an RTSP server, and what makes a video file.
# libaravis-dev does not ask for libusb's headers, but its users need them.
cameras=(libaravis-dev libusb-1.0-0-dev aravis-tools libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev)
cameras+=(gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-tools gir1.2-gst-rtsp-server-1.0 python3-gi)
case "$purpose" in
  run) ;;
  test)
    # Modbus implementations that are not ours, and serial lines without a cable; a real browser and its Chinese letters;
    # systemd's own checks; file systems in files, whose power is cut.
    packages+=(mbpoll libmodbus-dev socat chromium chromium-driver fonts-noto-cjk systemd e2fsprogs mount)
    packages+=("${cameras[@]}")
    ;;
  bench)
    # The C client and server that the Modbus side is measured beside, and cameras that fall ill.
    packages+=(libmodbus-dev "${cameras[@]}")
    ;;
  arm64)
    # A crate of plain Rust: a linker and the C library for ARM, and what runs the result.
    packages=(ca-certificates gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static)
    ;;
  *)
    echo "setup.sh: say \`setup.sh run\`, \`setup.sh test\`, \`setup.sh bench\` or \`setup.sh arm64\`" >&2
    exit 64
    ;;
esac

as_root() {
  if [[ "$(id -u)" == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "setup.sh: this needs root and there is no sudo; run as root: $*" >&2
    exit 1
  fi
}

packages_missing() {
  local package status
  for package in "${packages[@]}"; do
    status="$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)"
    [[ "$status" == installed ]] || echo "$package"
  done
  # These may well be there without Debian's package.
  command -v curl >/dev/null || echo curl
  python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
  # Tests and benches meet peers that are Python programs.
  [[ "$purpose" == run ]] || python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    echo "setup.sh: this is not Debian; have these packages' counterparts installed: ${packages[*]} python3-pip curl"
    return
  fi
  local missing
  mapfile -t missing < <(packages_missing)
  if ((${#missing[@]} == 0)); then
    return
  fi
  echo "setup.sh: installing Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    -o DPkg::Lock::Timeout=600 "${missing[@]}"
}

# True if the cargo in reach is at least $rust_min.
cargo_will_do() {
  local found
  found="$(cd "$root" && cargo --version 2>/dev/null | cut -d ' ' -f 2)" || return 1
  [[ -n "$found" && "$(printf '%s\n%s\n' "$rust_min" "$found" | sort -V | head -n 1)" == "$rust_min" ]]
}

install_rust() {
  export PATH="$HOME/.cargo/bin:$PATH"
  if cargo_will_do; then
    return
  fi
  if command -v rustup >/dev/null; then
    echo "setup.sh: the Rust toolchain here is older than $rust_min; adding $rust_pinned for this folder only"
    rustup toolchain install "$rust_pinned" --profile minimal --component rustfmt --component clippy
    (cd "$root" && rustup override set "$rust_pinned")
  else
    echo "setup.sh: no Rust toolchain of $rust_min or later; installing $rust_pinned into ~/.cargo and ~/.rustup with the official rustup installer"
    local installer
    installer="$(curl --proto '=https' --tlsv1.2 --silent --show-error --fail https://sh.rustup.rs)" || {
      echo "setup.sh: the installer cannot be reached from here; install Rust $rust_min or later by hand (https://rustup.rs) and run this again" >&2
      exit 1
    }
    sh -s -- -y --no-modify-path --profile minimal --component rustfmt --component clippy \
      --default-toolchain "$rust_pinned" <<<"$installer"
  fi
  if ! cargo_will_do; then
    echo "setup.sh: there is still no cargo of $rust_min or later in PATH" >&2
    exit 1
  fi
}

# python_peers LIST: what the Python peers of LIST (a requirements file) need, in a folder of its own that tests and benches
# share. Beside the packages lies the list that they were installed from: if it is the same, there is nothing to do.
python_peers() {
  local list="$root/$1" python="$root/.venv/bin/python3"
  local stamp
  stamp="$root/.venv/$(tr / . <<<"$1")"
  if [[ -x "$python" ]] && cmp --silent "$list" "$stamp"; then
    return
  fi
  # A folder whose Python is gone (moved, or another version now) is of no use.
  if ! "$python" -m pip --version >/dev/null 2>&1; then
    echo "setup.sh: making .venv for the Python peers"
    python3 -m venv --clear "$root/.venv"
  fi
  echo "setup.sh: installing $(grep -o '^[^#= ]*==[^ ]*' "$list" | paste -sd ' ') into .venv"
  "$python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: --requirement "$list"
  cp "$list" "$stamp"
}

install_packages
install_rust
if [[ "$purpose" == arm64 ]]; then
  cd "$root"
  rustup target list --installed | grep -qx aarch64-unknown-linux-gnu || rustup target add aarch64-unknown-linux-gnu
  echo "setup.sh: everything for \`make golden-arm64\` is here"
  exit 0
fi
case "$purpose" in
  test) python_peers plc-bridge/tests/peers/requirements.txt ;;
  bench)
    python_peers spc/benches/requirements.txt
    python_peers appliance/benches/requirements.txt
    ;;
esac
"$root/scripts/onnxruntime.sh"
echo "setup.sh: everything for \`make $purpose\` is here"
