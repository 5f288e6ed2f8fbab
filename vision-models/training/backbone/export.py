"""Step 3: writes the student as ONNX (opset 13, batch normalisation folded) and says how far it is from the checkpoint."""

import argparse

import numpy as np
import onnxruntime as ort
import torch

from network import Backbone

if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--checkpoint", required=True)
    args.add_argument("--out", required=True)
    args = args.parse_args()
    student = Backbone().eval()
    student.load_state_dict(torch.load(args.checkpoint))
    names = ["four", "eight", "sixteen"]
    axes = {"levels": {0: "n", 2: "h", 3: "w"}} | {name: {0: "n", 2: f"h_{name}", 3: f"w_{name}"} for name in names}
    torch.onnx.export(student, torch.zeros(1, 1, 256, 256), args.out, opset_version=13, input_names=["levels"], output_names=names, dynamic_axes=axes)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 1, 256, 256)).astype(np.float32)
    session = ort.InferenceSession(args.out)
    with torch.no_grad():
        wanted = student(torch.from_numpy(x))
    print("largest difference", max(float(abs(a - b.numpy()).max()) for a, b in zip(session.run(None, {"levels": x}), wanted)))
