"""Step 2: distils the teacher's features into the backbone on the drawn pictures.

The teacher's channels are brought to mean 0 and deviation 1 over the pictures, so that each counts alike; the student
learns them by least squares at all three strides.
"""

import argparse
import json
import time

import numpy as np
import onnxruntime as ort
import torch

from network import Backbone


def turn(rng, x):
    """One of eight turns and flips for the batch, and another light."""
    x = np.rot90(x, rng.integers(4), (1, 2))
    if rng.random() < 0.5:
        x = x[:, :, ::-1]
    gain = 2.0 ** rng.uniform(-0.7, 0.7, (len(x), 1, 1))
    mean = x.mean((1, 2), keepdims=True)
    return np.clip((x - mean) * gain + mean + rng.normal(size=gain.shape) * 25, 0, 255).astype(np.float32)


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--teacher", required=True)
    args.add_argument("--pictures", required=True)
    args.add_argument("--out", required=True)
    args.add_argument("--steps", type=int, default=1200)
    args.add_argument("--batch", type=int, default=32)
    args.add_argument("--rate", type=float, default=4e-3)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--start", help="a checkpoint to go on from")
    args = args.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(args.seed)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(args.teacher, options)
    name = session.get_inputs()[0].name
    pictures = np.load(args.pictures, mmap_mode="r")
    held, count = np.arange(256), len(pictures)

    def teach(x):
        return session.run(None, {name: np.repeat(x[:, None] / 127.5 - 1, 3, 1)})

    sample = teach(pictures[np.sort(rng.choice(count, 256, replace=False))].astype(np.float32))
    mean = [f.mean((0, 2, 3), keepdims=True) for f in sample]
    deviation = [f.std((0, 2, 3), keepdims=True) + 1e-3 for f in sample]

    def targets(x):
        return [torch.from_numpy((f - m) / d) for f, m, d in zip(teach(x), mean, deviation)]

    student = Backbone().to(memory_format=torch.channels_last)
    if args.start:
        student.load_state_dict(torch.load(args.start))
    print("parameters", sum(p.numel() for p in student.parameters()), flush=True)
    decay = [p for p in student.parameters() if p.ndim > 1]
    rest = [p for p in student.parameters() if p.ndim == 1]
    adam = torch.optim.AdamW([{"params": decay, "weight_decay": 1e-2}, {"params": rest, "weight_decay": 0.0}], lr=args.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, args.rate, args.steps, pct_start=0.08)
    start, running = time.process_time(), None
    for step in range(args.steps):
        x = turn(rng, pictures[np.sort(rng.integers(256, count, args.batch))].astype(np.float32))
        losses = torch.stack([((o - t) ** 2).mean() for o, t in zip(student(torch.from_numpy(x)[:, None] / 127.5 - 1), targets(x))])
        adam.zero_grad(set_to_none=True)
        losses.sum().backward()
        adam.step()
        schedule.step()
        running = losses.detach() if running is None else 0.98 * running + 0.02 * losses.detach()
        if step % 100 == 99 or step == 9:
            print(step + 1, "unexplained", [round(float(v), 4) for v in running], f"{time.process_time() - start:.0f} CPU-s", flush=True)
        if step % 300 == 299 or step + 1 == args.steps:
            student.eval()
            x = pictures[held].astype(np.float32)
            with torch.no_grad():
                outs = student(torch.from_numpy(x)[:, None] / 127.5 - 1)
            unexplained = [float(((o - t) ** 2).mean()) for o, t in zip(outs, targets(x))]
            print("held back", [round(v, 4) for v in unexplained], flush=True)
            torch.save(student.state_dict(), args.out)
            with open(args.out + ".json", "w") as report:
                json.dump({"arguments": vars(args), "steps": step + 1, "unexplained": unexplained}, report, indent=1)
            student.train()
