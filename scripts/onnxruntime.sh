#!/usr/bin/env bash
# Puts ONNX Runtime into .onnxruntime/ at the root of the repository: libonnxruntime.so, its LICENSE and its
# ThirdPartyNotices.txt. They come from the official Python wheel, whose SHA-256 is pinned below for each architecture;
# Python itself is only used to fetch and unpack it. Running it again does nothing if the right version is there.
set -euo pipefail

version=1.31.1
case "$(uname -m)" in
  x86_64)
    platform=manylinux_2_28_x86_64
    sha256=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
    ;;
  aarch64 | arm64)
    platform=manylinux_2_28_aarch64
    sha256=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
    ;;
  *)
    echo "onnxruntime.sh: no pinned ONNX Runtime for $(uname -m); put a libonnxruntime.so (1.17 or newer) in place and name it in ORT_DYLIB_PATH" >&2
    exit 1
    ;;
esac

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
target="$root/.onnxruntime"
stamp="onnxruntime $version $platform $sha256"

if [[ -s "$target/libonnxruntime.so" && "$(cat "$target/VERSION" 2>/dev/null || true)" == "$stamp" ]]; then
  echo "onnxruntime.sh: ONNX Runtime $version is in .onnxruntime/ already"
  exit 0
fi

if ! python3 -m pip --version >/dev/null 2>&1; then
  echo "onnxruntime.sh: python3 with pip is needed to fetch the wheel: apt-get install python3 python3-pip" >&2
  exit 1
fi

# Beside the target, so that the last step is a rename on one file system and a broken run leaves nothing half done.
work="$(mktemp -d "$root/.onnxruntime.XXXXXX")"
trap 'rm -rf "$work"' EXIT

echo "onnxruntime.sh: fetching the wheel onnxruntime $version for $platform (about 24 MB)"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --platform "$platform" --python-version 3.11 --implementation cp --dest "$work/wheel" "onnxruntime==$version"

wheel="$(echo "$work"/wheel/*.whl)"
got="$(sha256sum "$wheel" | cut -d ' ' -f 1)"
if [[ "$got" != "$sha256" ]]; then
  echo "onnxruntime.sh: $(basename "$wheel") has SHA-256 $got, pinned is $sha256; nothing was installed" >&2
  exit 1
fi

echo "onnxruntime.sh: unpacking it into .onnxruntime/"
python3 -m zipfile -e "$wheel" "$work/unpacked"
mkdir "$work/ready"
mv "$work/unpacked/onnxruntime/capi/libonnxruntime.so.$version" "$work/ready/libonnxruntime.so"
mv "$work/unpacked/onnxruntime/LICENSE" "$work/unpacked/onnxruntime/ThirdPartyNotices.txt" "$work/ready/"
echo "$stamp" >"$work/ready/VERSION"
chmod 755 "$work/ready"
rm -rf "$target"
mv "$work/ready" "$target"
echo "onnxruntime.sh: done: .onnxruntime/libonnxruntime.so"
