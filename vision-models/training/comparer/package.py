"""Puts weights, thresholds and measured figures into the package, and has the project's own `make-package` seal it."""

import json
import re
import shutil
import subprocess
from pathlib import Path


def arguments(parser):
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--package", required=True, type=Path, help="folder whose model.toml is brought up to date")
    parser.add_argument("--version", required=True)
    parser.add_argument("--thresholds", required=True, type=Path, help="JSON from `choose`")
    parser.add_argument("--training", required=True, help="one sentence: how it was trained")
    parser.add_argument("--measured", type=Path, help="JSON: what the operating point gave")
    parser.add_argument("--metrics", type=Path, help="JSON: what was measured after training")
    parser.add_argument("--programs", required=True, type=Path, help="folder of `examples/make-package`")


def with_table(text, name, values):
    """The manifest with the body of one table replaced."""
    body = "".join(f"{key} = {value}\n" for key, value in values.items())
    changed, count = re.subn(rf"(?m)^\[{re.escape(name)}\]\n(?:(?!\[).+\n)*", lambda _: f"[{name}]\n{body}", text)
    if count != 1:
        raise SystemExit(f"model.toml: there are {count} tables [{name}]")
    return changed


def with_value(text, pattern, value):
    changed, count = re.subn(rf"(?m)^({pattern} = ).*$", lambda found: found.group(1) + value, text)
    if count != 1:
        raise SystemExit(f"model.toml: {pattern} stands there {count} times")
    return changed


def main(options):
    manifest = options.package / "model.toml"
    text = manifest.read_text()
    text = with_value(text, "version", json.dumps(options.version))
    text = with_value(text, "training", json.dumps(options.training))
    for name, threshold in json.loads(options.thresholds.read_text()).items():
        text = with_value(text, rf'name = "{name}"\nthreshold', f"{threshold:.2f}".rstrip("0"))
    for table, source in (("operating_point.measured", options.measured), ("provenance.metrics", options.metrics)):
        if source:
            text = with_table(text, table, json.loads(source.read_text()))
    manifest.write_text(text)
    shutil.copy(options.model, options.package / "model.onnx")
    subprocess.run([options.programs / "examples" / "make-package", options.package], check=True)
