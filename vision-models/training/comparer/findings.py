"""What the product found, read back: matched with the known faults as DeepPCB's protocol does, to draw and to choose by."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import data

PROTOCOL_OVERLAP = 0.33


@dataclass
class Picture:
    """`found`: rows of x1 y1 x2 y2 score class, best first. `of_fault`: the fault each finding points at, or -1. `faults` as labelled."""

    name: str
    found: np.ndarray
    of_fault: np.ndarray
    faults: np.ndarray


def read(path, names, faults_of):
    """`names` in the order of the pieces; `faults_of(name)` gives the labels, or nothing where they are not on disk."""
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    pictures = []
    by_piece = {}
    for row in rows:
        by_piece.setdefault(row["piece"], []).append(row)
    for piece, name in enumerate(names, 1):
        mine = by_piece.get(piece, [])
        box = lambda b: [b[key] for key in ("x1", "y1", "x2", "y2")]
        found = [[*box(row["finding"]["bounds"]), row["finding"]["score"], row["finding"]["class"]] for row in mine]
        of_fault = [-1 if row["fault"] is None else row["fault"] for row in mine]
        pictures.append(Picture(name, np.array(found, float).reshape(-1, 6), np.array(of_fault, int), faults_of(name)))
    return pictures


def of_view(path, view):
    return read(path, data.deeppcb_names(view), lambda name: data.read_boxes(Path(view) / "labels" / f"{name}.txt"))


def overlap(box, boxes):
    wide = np.clip(np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0]), 0, None)
    high = np.clip(np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1]), 0, None)
    area = lambda b: (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    return wide * high / np.maximum(area(box) + area(boxes) - wide * high, 1e-9)


def right(picture, counts):
    """Which of the findings that count are right by the protocol."""
    found = picture.found[counts]
    taken, good = np.zeros(len(found), bool), np.zeros(len(found), bool)
    for fault in picture.faults:
        free = np.flatnonzero(~taken & (overlap(fault[:4], np.round(found[:, :4])) > PROTOCOL_OVERLAP))
        if len(free):
            taken[free[0]] = True
            good[free[0]] = found[free[0], 5] == fault[4]
    return good


def f_score(pictures, thresholds):
    """F by the protocol at thresholds by class."""
    hits = calls = faults = 0
    for picture in pictures:
        counts = picture.found[:, 4] >= thresholds[picture.found[:, 5].astype(int) - 1]
        hits, calls, faults = hits + right(picture, counts).sum(), calls + counts.sum(), faults + len(picture.faults)
    return 2 * hits / max(calls + faults, 1)


def curve(pictures):
    """Precision and recall from the best score down."""
    scores = np.concatenate([picture.found[:, 4] for picture in pictures])
    good = np.concatenate([right(picture, np.ones(len(picture.found), bool)) for picture in pictures])
    good = good[np.argsort(-scores, kind="stable")]
    hits = np.cumsum(good)
    return hits / np.arange(1, len(hits) + 1), hits / max(sum(len(picture.faults) for picture in pictures), 1), np.sort(scores)[::-1]
