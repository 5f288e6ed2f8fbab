"""The report of an evaluation: `report.json`, `curve.png` with precision over recall, and `sheet.png` with mistakes.

The curve holds no pixel of the data set and may be published. The sheet shows pieces of its pictures and may not.
"""

import json
from pathlib import Path

import numpy as np

from . import data, findings

TILE, ZOOM, COLUMNS, MOST = 120, 2, 8, 48
COLOURS = ("grey", "red", "blue", "orange", "green", "magenta", "cyan")


def arguments(parser):
    parser.add_argument("--work", required=True, type=Path, help="what `evaluate` was given")
    parser.add_argument("--pictures", required=True, type=Path, help="DeepPCB's folder")
    parser.add_argument("--to", required=True, type=Path)
    parser.add_argument("--threshold", type=float, help="for the sheet; without it where F is best")


def draw_curve(pictures, report, to):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 5), dpi=120)
    precision, recall, scores = findings.curve(pictures)
    axes.plot(recall, precision, color="black", label=f"all classes, AP {report['ap_iou_033']:.3f}")
    for number, name in enumerate(data.CLASSES, 1):
        own = [of_class(picture, number) for picture in pictures]
        if sum(len(picture.faults) for picture in own):
            precision, recall, _ = findings.curve(own)
            axes.plot(recall, precision, color=COLOURS[number], linewidth=0.8, label=name)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0.5, 1.005), ylim=(0.5, 1.005))
    axes.set_title(f"{report['pictures']} held-out pictures, {report['defects']} faults, overlap above 0.33", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize=8)
    figure.tight_layout()
    figure.savefig(to)


def of_class(picture, number):
    mine = picture.found[:, 5] == number
    faults = picture.faults[picture.faults[:, 4] == number]
    return findings.Picture(picture.name, picture.found[mine], picture.of_fault[mine], faults)


def mistakes(pictures, threshold):
    """What is wrong at this threshold: picture, the fault or nothing, the finding or nothing."""
    for picture in pictures:
        counts = picture.found[:, 4] >= threshold
        found, good = picture.found[counts], findings.right(picture, counts)
        wrong = list(np.flatnonzero(~good))
        for fault in picture.faults:
            near = findings.overlap(fault[:4], found[:, :4]) > findings.PROTOCOL_OVERLAP
            if (near & good & (found[:, 5] == fault[4])).any():
                continue
            named = [n for n in wrong if near[n]]
            if named:
                wrong.remove(named[0])
            yield picture, fault, found[named[0]] if named else None
        for n in wrong:
            yield picture, None, found[n]


def draw_sheet(cases, folder, to):
    from PIL import Image, ImageDraw

    side = TILE * ZOOM
    rows = -(-min(len(cases), MOST) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (side + 2), max(rows, 1) * (side + 2)), "white")
    for place, (picture, fault, found) in enumerate(cases[:MOST]):
        piece, golden = (data.read_grey(folder / "images" / f"{picture.name}_{kind}.jpg") for kind in ("test", "temp"))
        centre = (fault if fault is not None else found)[:4].reshape(2, 2).mean(0)
        left, top = (int(value) - TILE // 2 for value in centre)
        whole = Image.fromarray(np.stack([piece, golden, golden], -1))  # red: copper is missing, cyan: too much
        tile = whole.crop((left, top, left + TILE, top + TILE)).resize((side, side), Image.NEAREST)
        pen = ImageDraw.Draw(tile)
        for what, row, label, line in (("is", fault, 4, 2), ("found", found, 5, 1)):
            if row is not None:
                box = [ZOOM * float(value - offset) for value, offset in zip(row[:4], (left, top, left, top))]
                pen.rectangle(box, outline=COLOURS[int(row[label])], width=line)
                score = f" {row[4]:.2f}" if what == "found" else ""
                pen.text((3, 3 if what == "is" else 14), f"{what} {data.CLASSES[int(row[label]) - 1]}{score}", fill="grey")
        sheet.paste(tile, ((place % COLUMNS) * (side + 2), place // COLUMNS * (side + 2)))
    sheet.save(to)


def main(options):
    options.to.mkdir(parents=True, exist_ok=True)
    report = {"held_out": json.loads((options.work / "held-out.json").read_text())}
    if (options.work / "drawn.json").exists():
        report["drawn"] = json.loads((options.work / "drawn.json").read_text())
    pictures = findings.of_view(options.work / "held-out.findings.jsonl", options.work / "pictures-held-out")
    threshold = options.threshold or report["held_out"]["f_best"]["threshold"]
    cases = list(mistakes(pictures, threshold))
    kinds = [("false call", "missed", "wrong class or place")[0 if fault is None else 1 if found is None else 2] for _, fault, found in cases]
    report["mistakes"] = {"threshold": threshold, **{kind: kinds.count(kind) for kind in sorted(set(kinds))}}
    (options.to / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    draw_curve(pictures, report["held_out"], options.to / "curve.png")
    draw_sheet(cases, options.pictures, options.to / "sheet.png")
    print(f"{options.to}: report.json, curve.png, sheet.png; mistakes at {threshold}: {report['mistakes']}")
