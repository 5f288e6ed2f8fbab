"""Chooses the thresholds by class from what was found on held-out pictures and on drawn boards.

One threshold for all classes comes first: where F on the held-out pictures is best, or the highest below it at which hardly
a fault is missed, because a fault that passes costs more than a second look. Then each class is raised, in hundredths, until
it rejects few enough of the good drawn boards, and never so far that it misses a drawn fault which it found before.
"""

import json
from pathlib import Path

import numpy as np

from . import data, findings

MISSED = 0.0035  # share of faults; two of the 648 held-out ones
GOOD_REJECTED = 0.002  # share of good drawn boards that one class may reject
HIGHEST = 0.6


def arguments(parser):
    parser.add_argument("--work", required=True, type=Path, help="what `evaluate` was given")
    parser.add_argument("--to", required=True, type=Path, help="thresholds as JSON")


def missed(pictures, threshold):
    """Share of faults that no finding of any class points at (`vision-models/src/score.rs`)."""
    lost = 0
    for picture in pictures:
        found = picture.found[picture.found[:, 4] >= threshold]
        x, y = found[:, [0, 2]].mean(1), found[:, [1, 3]].mean(1)
        for x1, y1, x2, y2, _ in picture.faults:
            inside = (x1 <= x) & (x <= x2) & (y1 <= y) & (y <= y2)
            lost += not (inside | (findings.overlap(np.array([x1, y1, x2, y2]), found[:, :4]) > 0.1)).any()
    return lost / max(sum(len(picture.faults) for picture in pictures), 1)


def common(pictures):
    tried = [at / 100 for at in range(10, 80)]
    best = max(tried, key=lambda at: findings.f_score(pictures, np.full(len(data.CLASSES), at)))
    return max((at for at in tried if at <= best and missed(pictures, at) <= MISSED), default=tried[0])


def drawn_rows(path):
    """Class, score, and whether the board is good, of findings that point at no fault; best score for each fault that is found."""
    calls, faults = [], {}
    for line in Path(path).read_text().splitlines():
        row = json.loads(line)
        score, label = row["finding"]["score"], row["finding"]["class"]
        if row["fault"] is not None:
            faults.setdefault((row["piece"], row["fault"]), []).append((score, label))
        elif row["faults"] == 0:
            calls.append((label, score, row["piece"]))
    return calls, list(faults.values())


def raised(start, calls, faults, good_boards):
    thresholds = np.full(len(data.CLASSES), start)
    for label in range(1, len(data.CLASSES) + 1):
        at = thresholds[label - 1]
        while at < HIGHEST:
            rejected = len({piece for own, score, piece in calls if own == label and score >= at})
            if rejected <= GOOD_REJECTED * good_boards:
                break
            after = thresholds.copy()
            after[label - 1] = at + 0.01
            seen = lambda limits: sum(any(score >= limits[own - 1] for score, own in found) for found in faults)
            if seen(after) < seen(thresholds):
                break
            at += 0.01
            thresholds[label - 1] = at
    return [round(float(value), 2) for value in thresholds]


def main(options):
    pictures = findings.of_view(options.work / "held-out.findings.jsonl", options.work / "pictures-held-out")
    start = common(pictures)
    drawn = json.loads((options.work / "drawn.json").read_text())
    calls, faults = drawn_rows(options.work / "drawn.findings.jsonl")
    good = drawn["pictures"] // 2
    thresholds = dict(zip(data.CLASSES, raised(start, calls, faults, good)))
    options.to.write_text(json.dumps(thresholds, indent=2) + "\n")
    print(f"common {start:.2f}, by class {thresholds}, F {findings.f_score(pictures, np.array(list(thresholds.values()))):.4f}")
