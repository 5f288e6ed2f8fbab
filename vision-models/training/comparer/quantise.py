"""Static quantisation to int8: weights per channel, activations by what they are on training pictures.

Left in floating point: the planes in front of the first convolution (they are differences of pixels, exact as they are) and
the convolutions of the head: with only the two last ones in floating point the average precision fell by 0.003, with the one
before them by half of that.
"""

from pathlib import Path

import numpy as np

from . import data

EVERY = 15  # of the training pictures, for calibration
MOST = 60
LAST_CONVOLUTIONS = 2  # on the way to each output


def arguments(parser):
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--data", required=True, help="stem of the collected DeepPCB pictures")
    parser.add_argument("--to", required=True, type=Path)


def calibration_pictures(stem):
    boards = data.load(stem)
    hidden = data.held_out([board.name for board in boards])
    shown = [board for board, hide in zip(boards, hidden) if not hide]
    return [board.pictures for board in shown[::EVERY][:MOST]]


def reader(pictures):
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rest = iter(pictures)

        def get_next(self):
            picture = next(self.rest, None)
            return None if picture is None else {"image": picture[None].astype(np.float32) / 255}

    return Reader()


def left_alone(path):
    """Names of the nodes from the last but one convolution on, and of those in front of the first one."""
    import onnx

    graph = onnx.load(path).graph
    makers = {output: node for node in graph.node for output in node.output}
    names, queue = set(), [(output.name, LAST_CONVOLUTIONS) for output in graph.output]
    while queue:
        value, left = queue.pop()
        node = makers.get(value)
        if node is not None and left:
            names.add(node.name)
            queue += [(name, left - (node.op_type == "Conv")) for name in node.input]
    names.update(node.name for node in graph.node if node.op_type in ("MaxPool", "Neg", "Sub", "Concat", "Slice"))
    readers = {name: node for node in graph.node for name in node.input}
    for node in graph.node:  # what the differences are cut off with
        if node.op_type == "Sub":
            names.add(readers[node.output[0]].name)
    return sorted(names)


def quantise(model, pictures, to):
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    shaped = to.with_suffix(".shaped")
    quant_pre_process(str(model), str(shaped), skip_symbolic_shape=True)
    quantize_static(
        str(shaped),
        str(to),
        reader(pictures),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=left_alone(str(shaped)),
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"ActivationSymmetric": False},
    )
    shaped.unlink()


def main(options):
    quantise(options.model, calibration_pictures(options.data), options.to)
    print(f"{options.to}: {options.to.stat().st_size} bytes")
