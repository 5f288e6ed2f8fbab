"""Draws faults by hand, as most of DeepPCB's were, on the training boards, and names them by what they do to the copper.

A stroke that takes copper away, seen in a small window around it, is a pin-hole if it touches no bare board, an open if it
cuts a piece of copper in two, and else a mousebite. A stroke that adds copper is spurious copper if it touches none, a short
if it joins two pieces, and else a spur. What nobody could name safely is not drawn: a bite through a ring into its hole, a
bridge from a piece of copper to itself, and a stroke that would be called something else if it were a pixel thicker or thinner.
"""

import numpy as np
from scipy import ndimage

from . import data

WINDOW = 26  # pixels around a stroke in which copper counts as connected or not
FAR = 6  # pixels to the box of any other fault
CRUMB = 20  # a piece of copper smaller than this is no piece: nobody could name what cut it off
LEAST_AREA = 22
EVERYWHERE = np.ones((3, 3), bool)
PER_BOARD = 8
TRIES = 60

PIN_HOLE, OPEN, MOUSEBITE = 6, 1, 3
ADDED = {PIN_HOLE: 5, OPEN: 2, MOUSEBITE: 4}  # the same with copper and bare board exchanged


def path(rng):
    """A crooked line: points one to two pixels apart, around 0, 0."""
    shortest, longest = ((3, 12), (8, 28), (20, 55), (50, 120))[rng.choice(4, p=[0.42, 0.36, 0.15, 0.07])]
    length = rng.uniform(shortest, longest)
    steps = max(2, int(length / 1.5))
    turns = rng.normal(0, rng.choice([0.05, 0.25, 0.6]), steps)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(turns)
    points = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * 1.5, 0)
    return points - points.mean(0)


def stroke(points, radius, shape, wobble):
    """Pixels within `radius` of the line; `wobble` makes the width uneven."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    covered = np.zeros(shape, bool)
    for (px, py), more in zip(points, wobble):
        covered |= (x - px) ** 2 + (y - py) ** 2 <= max(radius + more, 0.7) ** 2
    return covered


def crosses(points, shape, rng):
    """A row of small crosses, as some brushes draw."""
    covered = np.zeros(shape, bool)
    arm = int(rng.integers(1, 4))
    for px, py in np.rint(points[:: int(rng.integers(2, 4))]).astype(int):
        covered[max(py - arm, 0) : py + arm + 1, px] = True
        covered[py, max(px - arm, 0) : px + arm + 1] = True
    return covered


def name(copper, taken, adds):
    """What taking this copper away is called; `None` if it is nothing, unclear, or leaves crumbs.

    With `adds`, `copper` is the bare board and copper is put there; the name is that of its counterpart.
    """
    taken = taken & copper
    if taken.sum() < 4:
        return None
    bare, _ = ndimage.label(~copper)
    touched = np.unique(bare[ndimage.binary_dilation(taken, EVERYWHERE)])
    touched = touched[touched > 0]
    if len(touched) == 0:
        return PIN_HOLE
    before, _ = ndimage.label(copper, EVERYWHERE)
    pieces, count = ndimage.label(copper & ~taken, EVERYWHERE)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    hit = np.unique(before[taken])
    of = [before[pieces == piece][0] for piece in range(1, count + 1)]
    parts = [size for size, origin in zip(sizes, of) if origin in hit]
    if not parts or min(parts) < CRUMB:
        return None
    cuts, joins = len(parts) > len(hit), len(touched) > 1
    if cuts or joins:
        return OPEN if (joins if adds else cuts) else None
    return MOUSEBITE


def edges(copper):
    """Coordinates of pixels near an edge of copper, x and y."""
    near = ndimage.uniform_filter(copper.astype(np.float32), 9)
    return np.argwhere((near > 0.1) & (near < 0.9))[:, ::-1]


def add_fault(piece, boxes, at_edges, wanted, rng):
    """Draws one fault of the wanted class into `piece`, in place; its box, or `None` if no place was found."""
    adds = wanted in ADDED.values()
    side = piece.shape[0]
    for _ in range(TRIES):
        centre = rng.integers(WINDOW + 34, side - WINDOW - 34, 2)
        if wanted not in (PIN_HOLE, ADDED[PIN_HOLE]) and len(at_edges):
            centre = np.clip(at_edges[rng.integers(len(at_edges))] + rng.integers(-4, 5, 2), WINDOW + 34, side - WINDOW - 34)
        points = path(rng)
        radius = rng.uniform(1.6, 4.6)
        reach = int(np.abs(points).max() + radius) + WINDOW
        low, high = centre - reach, centre + reach
        if low.min() < 0 or high.max() > side:
            continue
        window = piece[low[1] : high[1], low[0] : high[0]]
        copper = (window >= 128) if adds else (window < 128)
        local = points + reach
        wobble = rng.normal(0, 0.5, len(points))
        shape = copper.shape
        solid = stroke(local, radius, shape, wobble)
        label = name(copper, solid, adds)
        if label is None or (ADDED[label] if adds else label) != wanted:
            continue
        if any(name(copper, stroke(local, radius + more, shape, wobble), adds) != label for more in (1.0, -0.9)):
            continue
        drawn = crosses(local, shape, rng) | stroke(local, 1.0, shape, 0 * wobble) if rng.random() < 0.15 else solid
        changed = drawn & copper
        if name(copper, drawn, adds) != label or changed.sum() < LEAST_AREA:
            continue
        y, x = np.nonzero(changed)
        margin = rng.uniform(7, 11)
        box = np.array([x.min() - margin, y.min() - margin, x.max() + 1 + margin, y.max() + 1 + margin], np.float32)
        box += np.array([low[0], low[1], low[0], low[1]], np.float32)
        box = np.clip(np.rint(box), 0, side)
        apart = (boxes[:, 0] > box[2] + FAR) | (boxes[:, 2] < box[0] - FAR) | (boxes[:, 1] > box[3] + FAR) | (boxes[:, 3] < box[1] - FAR)
        if not apart.all():
            continue
        window[changed] = 0 if adds else 255
        return np.append(box, np.float32(wanted))
    return None


def scribbled(board, rng):
    """A copy of the board with up to PER_BOARD faults more."""
    pictures, boxes = np.array(board.pictures), board.boxes.copy()
    at_edges = edges(pictures[0] < 128)
    for wanted in rng.permutation(np.resize(np.arange(1, len(data.CLASSES) + 1), PER_BOARD)):
        box = add_fault(pictures[0], boxes, at_edges, wanted, rng)
        if box is not None:
            boxes = np.vstack([boxes, box[None]])
    return data.Board(f"{board.name}-scribbled", pictures, boxes)
