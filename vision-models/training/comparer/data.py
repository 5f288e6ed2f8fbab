"""The pictures to learn from: DeepPCB's folder and boards that `draw-boards` drew, kept in one array on disk.

The array holds what the product's own preparation gives the model: grey stretched so that BLACK becomes 0 and WHITE 255.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CLASSES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
BLACK, WHITE = 48, 200
SIDE = 640

# Chosen before the first training run, and the same pictures that the first version of the package was never shown:
# one whole board design, and the last pictures of a second one.
HELD_OUT_DESIGN = "44000"
HELD_OUT_TAIL = ("92000", 50)


@dataclass
class Board:
    """One piece with its golden board: `pictures` is 2 x SIDE x SIDE, `boxes` rows of x1 y1 x2 y2 class (1 to 6)."""

    name: str
    pictures: np.ndarray
    boxes: np.ndarray


def stretch(grey):
    """The levels as the product stretches them (`vision-models/src/prepare.rs`), still as bytes."""
    levels = (grey.astype(np.float32) - BLACK) * (255.0 / (WHITE - BLACK))
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def read_grey(path):
    from PIL import Image

    return stretch(np.asarray(Image.open(path).convert("L")))


def read_boxes(path):
    rows = [[float(word) for word in line.split()] for line in Path(path).read_text().splitlines() if line.strip()]
    return np.array(rows, np.float32).reshape(-1, 5)


def deeppcb_names(folder):
    with open(Path(folder) / "index.csv", newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


def read_deeppcb(folder):
    folder = Path(folder)
    for name in deeppcb_names(folder):
        pair = [read_grey(folder / "images" / f"{name}_{kind}.jpg") for kind in ("test", "temp")]
        yield name, pair, read_boxes(folder / "labels" / f"{name}.txt")


def read_drawn(folder):
    folder = Path(folder)
    for path in sorted(folder.glob("*_test.png"), key=lambda path: int(path.name.split("_")[0])):
        name = path.name.split("_")[0]
        pair = [read_grey(folder / f"{name}_{kind}.png") for kind in ("test", "golden")]
        yield f"drawn-{name}", pair, read_boxes(folder / f"{name}.txt")


def collect(boards, to):
    """Writes the boards into `to.npy` (pictures) and `to.npz` (names and boxes)."""
    names, pictures, boxes = [], [], []
    for number, (name, pair, found) in enumerate(boards):
        names.append(name)
        pictures.append(np.stack(pair))
        boxes.append(np.column_stack([np.full(len(found), number, np.float32), found]))
    np.save(f"{to}.npy", np.stack(pictures))
    np.savez(f"{to}.npz", names=np.array(names), boxes=np.concatenate(boxes))
    return len(names)


def load(stem):
    pictures = np.load(f"{stem}.npy", mmap_mode="r")
    with np.load(f"{stem}.npz") as known:
        names, boxes = known["names"], known["boxes"]
    return [Board(str(name), pictures[n], boxes[boxes[:, 0] == n, 1:]) for n, name in enumerate(names)]


def held_out(names):
    """True for each name that training must not see."""
    design, count = HELD_OUT_TAIL
    tail = set([name for name in names if name.startswith(design)][-count:])
    return [name.startswith(HELD_OUT_DESIGN) or name in tail for name in names]
