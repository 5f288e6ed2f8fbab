"""Step 1: draws the pictures to distil on into one file (about 12 CPU-ms a picture)."""

import argparse

import numpy as np

from pictures import SIDE, batches

if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--out", required=True)
    args.add_argument("--count", type=int, default=16384)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--folder", action="append", default=[], help="FOLDER or FOLDER=WEIGHT, any number of times")
    args = args.parse_args()
    folders, weights = [], []
    for folder in args.folder:
        name, _, weight = folder.partition("=")
        folders.append(name)
        weights.append(float(weight or 1))
    source = batches(args.seed, folders, weights, 64)
    out = np.lib.format.open_memmap(args.out, mode="w+", dtype=np.uint8, shape=(args.count, SIDE, SIDE))
    for start in range(0, args.count, 64):
        part = next(source)[: args.count - start]
        out[start : start + len(part)] = part
        if start % 2048 == 0:
            print(start, "of", args.count, flush=True)
    out.flush()
