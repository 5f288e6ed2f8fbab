"""Cuts training samples out of boards and varies them in ways that keep, or exactly exchange, what their faults are called.

A fault is copper that is missing or copper that is too much. So
* turning and mirroring keep the class;
* inverting both pictures (copper becomes bare board) exchanges open and short, mousebite and spur, copper and pin-hole;
* exchanging piece and golden board exchanges open and short, mousebite and spur. A blob of copper that is missing and a hole
  that is filled are no classes of their own: where they would arise the sample teaches nothing.
"""

from dataclasses import dataclass

import numpy as np

CROP = 256
TILE = CROP // 2
MARGIN = 4  # golden boards are cut this much wider, to be laid off by some pixels

# Index is the class, 1 open, 2 short, 3 mousebite, 4 spur, 5 copper, 6 pin-hole; 0 is "teaches nothing".
INVERTED = np.array([0, 2, 1, 4, 3, 6, 5], np.float32)
EXCHANGED = np.array([0, 2, 1, 4, 3, 0, 0], np.float32)


@dataclass
class Chances:
    """How often each variation is made."""

    mosaic: float = 0.6
    at_fault: float = 0.8
    drawn: float = 0.15
    scribbled: float = 0.30
    clean: float = 0.08
    invert: float = 0.12
    exchange: float = 0.10
    off_register: float = 0.35
    thicken: float = 0.12


# Towards the end the samples come near to what a camera sees.
LATE = Chances(mosaic=0.4, drawn=0.12, scribbled=0.18, invert=0.03, exchange=0.02, thicken=0.06, off_register=0.25)
LATE_FROM = 0.8  # of the run


@dataclass
class Sample:
    """`pictures` 2 x S x S bytes, `boxes` rows of x1 y1 x2 y2 class; class 0 means: neither fault nor background."""

    pictures: np.ndarray
    boxes: np.ndarray


def within(boxes, size, keep=0.45, forget=0.05):
    """Boxes cut at the sample's edges; what shows too little of itself teaches nothing, what hardly shows is dropped."""
    area = np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1.0)
    cut = boxes.copy()
    cut[:, :4] = np.clip(cut[:, :4], 0, size)
    shown = (cut[:, 2] - cut[:, 0]) * (cut[:, 3] - cut[:, 1]) / area
    cut[shown <= keep, 4] = 0
    return cut[shown > forget]


def turn(pictures, boxes, size, rng):
    """One of the eight symmetries of the square."""
    if rng.random() < 0.5:
        pictures = pictures[:, :, ::-1]
        boxes[:, [0, 2]] = size - boxes[:, [2, 0]]
    if rng.random() < 0.5:
        pictures = pictures[:, ::-1]
        boxes[:, [1, 3]] = size - boxes[:, [3, 1]]
    if rng.random() < 0.5:
        pictures = pictures.transpose(0, 2, 1)
        boxes = boxes[:, [1, 0, 3, 2, 4]]
    return pictures, boxes


def thicken(picture, rng):
    """Copper or bare board grows by one pixel to one side: another threshold, another etching."""
    grown = picture.copy()
    pick = np.minimum if rng.random() < 0.5 else np.maximum
    if rng.random() < 0.5:
        pick(picture[1:], picture[:-1], out=grown[1:])
    else:
        pick(picture[:, 1:], picture[:, :-1], out=grown[:, 1:])
    return grown


class Cutter:
    """Cuts samples out of `boards`, and less often out of boards of the generator and of boards with scribbled faults."""

    def __init__(self, boards, drawn, rng, chances=None, scribbled=()):
        self.boards, self.drawn, self.scribbled, self.rng = boards, drawn, scribbled, rng
        self.chances = chances or Chances()

    def pool(self):
        lot = self.rng.random()
        if lot < self.chances.drawn and self.drawn:
            return self.drawn
        if self.chances.drawn <= lot < self.chances.drawn + self.chances.scribbled and self.scribbled:
            return self.scribbled
        return self.boards

    def sample(self):
        if self.rng.random() >= self.chances.mosaic:
            return self.cut(CROP)
        pictures, boxes = np.empty((2, CROP, CROP), np.uint8), []
        for row in (0, 1):
            for column in (0, 1):
                tile = self.cut(TILE)
                pictures[:, row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = tile.pictures
                offset = np.array([column, row, column, row, 0], np.float32) * TILE
                boxes.append(tile.boxes + offset)
        return Sample(pictures, np.concatenate(boxes))

    def cut(self, size):
        rng, chances = self.rng, self.chances
        pool = self.pool()
        board = pool[rng.integers(len(pool))]
        boxes = board.boxes.copy()
        left, top = self.corner(boxes, size, board.pictures.shape[1])
        golden = self.golden(board, left, top, size)
        if rng.random() < chances.clean:
            shift_y, shift_x = rng.integers(-2, 3, 2)
            piece = self.golden(board, left + shift_x, top + shift_y, size)
            boxes = boxes[:0]
        else:
            piece = board.pictures[0, top : top + size, left : left + size]
        if rng.random() < chances.thicken:
            piece = thicken(piece, rng)
        if rng.random() < chances.thicken:
            golden = thicken(golden, rng)
        boxes[:, :4] -= np.array([left, top, left, top], np.float32)
        boxes = within(boxes, size)
        pictures, boxes = turn(np.stack([piece, golden]), boxes, size, rng)
        if rng.random() < chances.invert:
            pictures = 255 - pictures
            boxes[:, 4] = INVERTED[boxes[:, 4].astype(int)]
        if rng.random() < chances.exchange:
            pictures = pictures[::-1]
            boxes[:, 4] = EXCHANGED[boxes[:, 4].astype(int)]
        return Sample(pictures, boxes)

    def corner(self, boxes, size, side):
        """Where to cut: often so that a fault chosen by lot lies within."""
        rng = self.rng
        if len(boxes) and rng.random() < self.chances.at_fault:
            x1, y1, x2, y2, _ = boxes[rng.integers(len(boxes))]
            place = []
            for low, high in ((x1, x2), (y1, y2)):
                first, last = int(max(high - size + 4, 0)), int(min(low - 4, side - size))
                place.append(int(rng.integers(first, last + 1)) if first <= last else max(0, min(int(low), side - size)))
            return place[0], place[1]
        return tuple(int(n) for n in rng.integers(0, side - size + 1, 2))

    def golden(self, board, left, top, size):
        """The golden board, now and then laid off by a pixel."""
        if self.rng.random() < self.chances.off_register:
            shift_y, shift_x = self.rng.integers(-1, 2, 2)
            left, top = left + shift_x, top + shift_y
        last = board.pictures.shape[1] - size
        left, top = min(max(left, 0), last), min(max(top, 0), last)
        return board.pictures[1, top : top + size, left : left + size]


def spread(picture, pick):
    """Each pixel becomes the whitest (or blackest) of its 3 x 3 neighbourhood."""
    rows = np.empty_like(picture)
    pick(picture[:, :-2], picture[:, 1:-1], out=rows[:, 1:-1])
    pick(rows[:, 1:-1], picture[:, 2:], out=rows[:, 1:-1])
    pick(picture[:, 0], picture[:, 1], out=rows[:, 0])
    pick(picture[:, -1], picture[:, -2], out=rows[:, -1])
    both = np.empty_like(picture)
    pick(rows[:-2], rows[1:-1], out=both[1:-1])
    pick(both[1:-1], rows[2:], out=both[1:-1])
    pick(rows[0], rows[1], out=both[0])
    pick(rows[-1], rows[-2], out=both[-1])
    return both


def planes(pictures, reaches):
    """`net.planes` on bytes: the same six planes, many times cheaper here than in the training framework."""
    piece, golden = np.ascontiguousarray(pictures[0]), np.ascontiguousarray(pictures[1])
    result, whitest, blackest = [piece, golden], golden, golden
    for _ in range(reaches):
        whitest, blackest = spread(whitest, np.maximum), spread(blackest, np.minimum)
        result.append(np.maximum(piece, whitest) - whitest)
        result.append(np.maximum(blackest, piece) - piece)
    return np.stack(result, -1)


def halved(picture, pick):
    """The whitest (or blackest) pixel of each block of two by two."""
    rows = pick(picture[0::2], picture[1::2])
    return pick(rows[:, 0::2], rows[:, 1::2])


def around(blocks, pick):
    """Each block becomes the whitest (or blackest) of its 3 x 3 neighbourhood."""
    rows = blocks.copy()
    pick(rows[:-1], blocks[1:], out=rows[:-1])
    pick(rows[1:], blocks[:-1], out=rows[1:])
    both = rows.copy()
    pick(both[:, :-1], rows[:, 1:], out=both[:, :-1])
    pick(both[:, 1:], rows[:, :-1], out=both[:, 1:])
    return both


def edged(picture, pick):
    """The whitest (or blackest) of each block of two by two and one pixel around it."""
    rows = pick(picture[0::2], picture[1::2])
    pick(rows[1:], picture[1:-1:2], out=rows[1:])
    pick(rows[:-1], picture[2::2], out=rows[:-1])
    both = pick(rows[:, 0::2], rows[:, 1::2])
    pick(both[:, 1:], rows[:, 1:-1:2], out=both[:, 1:])
    pick(both[:, :-1], rows[:, 2::2], out=both[:, :-1])
    return both


def light_planes(pictures):
    """`net.light_planes` on bytes."""
    piece, golden = np.ascontiguousarray(pictures[0]), np.ascontiguousarray(pictures[1])
    whitest, blackest = halved(piece, np.maximum), halved(piece, np.minimum)
    result = []
    for white, black in (
        (edged(golden, np.maximum), edged(golden, np.minimum)),
        (around(halved(golden, np.maximum), np.maximum), around(halved(golden, np.minimum), np.minimum)),
    ):
        result.append(np.maximum(whitest, white) - white)
        result.append(np.maximum(black, blackest) - blackest)
    return np.stack(result, -1)
