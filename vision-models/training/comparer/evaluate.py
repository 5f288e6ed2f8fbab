"""Measures a model as the product would see with it: through `jidoka model eval`, never through this framework.

The model is put into a copy of the package in a working folder. What is written there: `held-out.json` and `drawn.json` with
the figures, and `….findings.jsonl` beside each with every finding.
"""

import json
import shutil
import subprocess
from pathlib import Path

from . import data

DRAWN = {"count": 1000, "seed": 101, "bad_share": 0.5}  # a seed that neither training nor the project's tests use


def arguments(parser):
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--package", required=True, type=Path, help="the package whose manifest and golden boards are used")
    parser.add_argument("--pictures", required=True, type=Path, help="DeepPCB's folder")
    parser.add_argument("--programs", required=True, type=Path, help="folder of `jidoka` and `examples/make-package`")
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--part", choices=("held-out", "held-out-design", "held-out-tail", "shown", "all"), default="held-out")
    parser.add_argument("--without-drawn", action="store_true")


def view(pictures, part, to):
    """A folder like DeepPCB's with some of its pictures, by links."""
    names = data.deeppcb_names(pictures)
    hidden = data.held_out(names)
    whole = [name.startswith(data.HELD_OUT_DESIGN) for name in names]
    of_part = {
        "held-out": lambda hide, design: hide,
        "held-out-design": lambda hide, design: design,
        "held-out-tail": lambda hide, design: hide and not design,
        "shown": lambda hide, design: not hide,
        "all": lambda hide, design: True,
    }[part]
    chosen = [name for name, hide, design in zip(names, hidden, whole) if of_part(hide, design)]
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    for folder in ("images", "labels"):
        (to / folder).symlink_to((pictures / folder).resolve())
    (to / "index.csv").write_text("name,group\n" + "".join(f"{name},{part}\n" for name in chosen))
    return to


def packed(model, package, programs, to):
    """A package with this model in it, its golden boards computed anew."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(package, to)
    shutil.copy(model, to / "model.onnx")
    made = subprocess.run([programs / "examples" / "make-package", to], capture_output=True, text=True)
    if made.returncode:
        raise SystemExit(f"make-package: {made.stderr.strip()}")
    return to


def figures(programs, package, source, to):
    """Runs the product's evaluation and keeps what it says at `to`.json."""
    command = [programs / "jidoka", "model", "eval", "--package", package, "--json", "--findings", f"{to}.findings.jsonl"]
    result = subprocess.run([*command, *source], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"jidoka model eval: {result.stderr.strip()}")
    Path(f"{to}.json").write_text(result.stdout)
    return json.loads(result.stdout)


def drawn_source(settings=None):
    chosen = settings or DRAWN
    return ["--drawn", str(chosen["count"]), "--seed", str(chosen["seed"]), "--bad-share", str(chosen["bad_share"])]


def tell(what, report):
    one, best = report["missed_share_at_one_false_call"], report["f_best"]
    print(
        f"{what}: {report['pictures']} pictures, AP {report['ap_iou_033']:.4f}, best F {best['value']:.4f} at {best['threshold']:.2f},"
        f" missed at one false call {100 * one['value']:.2f} % at {one['threshold']:.2f}, mAP@0.5 {report['map_iou_050']:.4f};"
        f" at the package's thresholds F {report['f']:.4f}, missed {100 * report['missed_share']:.2f} %,"
        f" {report['false_calls_per_picture']:.3f} false calls, {report['cpu_ms']['p50']:.1f} ms",
        flush=True,
    )
    print("  by class at overlap 0.5: " + ", ".join(f"{one['class']} {one['ap']:.3f}" for one in report["ap_iou_050"]), flush=True)


def main(options):
    options.work.mkdir(parents=True, exist_ok=True)
    package = packed(options.model, options.package, options.programs, options.work / "package")
    folder = view(options.pictures, options.part, options.work / f"pictures-{options.part}")
    tell(options.part, figures(options.programs, package, ["--data", str(folder)], options.work / options.part))
    if not options.without_drawn:
        tell("drawn", figures(options.programs, package, drawn_source(), options.work / "drawn"))
