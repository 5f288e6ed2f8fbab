"""Writes the averaged weights of a run as an ONNX file, batch normalisation folded into the convolutions."""

from pathlib import Path

import torch

from .net import of_weights

OPSET = 13


def arguments(parser):
    parser.add_argument("--weights", required=True, type=Path, help="average.pt of a run")
    parser.add_argument("--to", required=True, type=Path)


def export(weights, to):
    net = of_weights(torch.load(weights, map_location="cpu"))
    free = {"image": {0: "n", 2: "h", 3: "w"}, "prob": {0: "n", 2: "rows", 3: "columns"}, "ltrb": {0: "n", 2: "rows", 3: "columns"}}
    torch.onnx.export(
        net.eval(),
        torch.zeros(1, 2, 640, 640),
        str(to),
        opset_version=OPSET,
        input_names=["image"],
        output_names=["prob", "ltrb"],
        dynamic_axes=free,
    )
    return to


def main(options):
    export(options.weights, options.to)
    print(f"{options.to}: {options.to.stat().st_size} bytes")
