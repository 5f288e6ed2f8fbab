"""Reads all pictures once and keeps them as one array, prepared as the product prepares them."""

from pathlib import Path

import numpy as np

from . import data, scribble


def arguments(parser):
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--deeppcb", type=Path, help="DeepPCB's folder")
    source.add_argument("--drawn", type=Path, help="a folder of `draw-boards`")
    source.add_argument("--scribble", help="stem of the collected DeepPCB pictures: copies of those to be shown, with more faults")
    parser.add_argument("--every", type=int, default=1, help="scribble on every n-th board only")
    parser.add_argument("--seed", type=int, default=0, help="of the faults that are drawn")
    parser.add_argument("--to", required=True, help="stem of the two files to write")


def scribbled(stem, every, seed):
    boards = data.load(stem)
    hidden = data.held_out([board.name for board in boards])
    rng = np.random.default_rng(seed)
    shown = [board for board, hide in zip(boards, hidden) if not hide]
    for board in shown[::every]:
        copy = scribble.scribbled(board, rng)
        yield copy.name, copy.pictures, copy.boxes


def boards_of(options):
    if options.deeppcb:
        return data.read_deeppcb(options.deeppcb)
    return data.read_drawn(options.drawn) if options.drawn else scribbled(options.scribble, options.every, options.seed)


def main(options):
    boards = boards_of(options)
    Path(options.to).parent.mkdir(parents=True, exist_ok=True)
    print(f"{data.collect(boards, options.to)} boards in {options.to}.npy")
