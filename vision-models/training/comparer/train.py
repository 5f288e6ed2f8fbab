"""One training run. By `--minutes` it ends when the clock says so, by `--cpu-minutes` when it has computed so long, by
`--steps` it is the same on every run of a machine.

Every minute the whole state is saved, so that a run that was cut off goes on with the same command.
"""

import argparse
import copy
import json
import math
import time
from pathlib import Path

import numpy as np
import torch

from . import augment, data, targets
from .net import NETS, REACHES


def arguments(parser):
    parser.add_argument("--data", required=True, help="stem of the collected DeepPCB pictures")
    parser.add_argument("--drawn", help="stem of the collected drawn boards")
    parser.add_argument("--scribbled", help="stem of the collected boards with scribbled faults")
    parser.add_argument("--run", required=True, type=Path, help="folder of this run")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float)
    length.add_argument("--cpu-minutes", type=float)
    length.add_argument("--steps", type=int)
    parser.add_argument("--net", choices=sorted(NETS), default="full")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--from-weights", type=Path, help="start from another run's weights, as far as they fit, instead of from nothing")


def batch_of(cutter, count, x, y, net, device):
    rows = []
    for _ in range(count):
        sample = cutter.sample()
        image = np.stack([sample.pictures[0], sample.pictures[1]], -1)
        seen = augment.planes(sample.pictures, REACHES) if net == "full" else augment.light_planes(sample.pictures)
        rows.append((image, seen, *targets.of_boxes(sample.boxes, x, y)))
    image, seen, *wanted = [torch.from_numpy(np.stack(column)).to(device) for column in zip(*rows)]
    # Planes come last in memory, as the convolutions like it; the view puts them where the net expects them.
    seen = [(planes.float() / 255).permute(0, 3, 1, 2) for planes in (image, seen)]
    return seen, wanted


def fitting(weights, net):
    """Those of the weights that have a place of the same shape in the net; the net's own for the others."""
    own = net.state_dict()
    known = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    print(f"{len(known)} of {len(own)} weights are taken over", flush=True)
    return own | known


def optimiser(net, rate):
    decayed = [p for p in net.parameters() if p.ndim > 1]
    free = [p for p in net.parameters() if p.ndim <= 1]
    return torch.optim.AdamW([{"params": decayed, "weight_decay": 0.03}, {"params": free, "weight_decay": 0.0}], lr=rate)


def follow(average, net, step):
    """The average of the weights over the last steps, which is what is exported."""
    keep = min(0.9985, (step + 1) / (step + 20))
    with torch.no_grad():
        for mean, now in zip(average.state_dict().values(), net.state_dict().values()):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - keep)
            else:
                mean.copy_(now)


class Run:
    def __init__(self, options):
        self.options = options
        torch.set_num_threads(options.threads)
        torch.manual_seed(options.seed)
        self.net = NETS[options.net]().to(options.device).to(memory_format=torch.channels_last)
        if options.from_weights:
            self.net.load_state_dict(fitting(torch.load(options.from_weights, map_location=options.device), self.net))
        self.average = copy.deepcopy(self.net).eval()
        self.optimiser = optimiser(self.net, options.rate)
        self.step, self.spent, self.cpu = 0, 0.0, 0.0
        options.run.mkdir(parents=True, exist_ok=True)
        self.checkpoint = options.run / "checkpoint.pt"
        if self.checkpoint.exists():
            self.resume()
        boards = data.load(options.data)
        hidden = data.held_out([board.name for board in boards])
        shown = [board for board, hide in zip(boards, hidden) if not hide]
        drawn = data.load(options.drawn) if options.drawn else []
        scribbled = data.load(options.scribbled) if options.scribbled else []
        self.cutter = augment.Cutter(shown, drawn, np.random.default_rng([options.seed, self.step]), scribbled=scribbled)
        self.x, self.y = targets.grid(augment.CROP)
        self.log = open(options.run / "log.jsonl", "a", buffering=1)
        count = sum(p.numel() for p in self.net.parameters())
        print(f"{count} parameters, {len(shown)} boards, {len(drawn)} drawn and {len(scribbled)} scribbled ones, from step {self.step}", flush=True)

    def resume(self):
        state = torch.load(self.checkpoint, map_location=self.options.device)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.spent, self.cpu = state["step"], state["spent"], state["cpu"]

    def save(self):
        state = {"net": self.net.state_dict(), "average": self.average.state_dict(), "optimiser": self.optimiser.state_dict()}
        state |= {"step": self.step, "spent": self.spent, "cpu": self.cpu}
        half = self.checkpoint.with_suffix(".part")
        torch.save(state, half)
        half.replace(self.checkpoint)
        torch.save(self.average.state_dict(), self.options.run / "average.pt")

    def progress(self):
        if self.options.steps:
            return self.step / self.options.steps
        if self.options.cpu_minutes:
            return self.cpu / (60 * self.options.cpu_minutes)
        return self.spent / (60 * self.options.minutes)

    def rate(self):
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, self.progress())))
        return self.options.rate * min(1.0, (self.step + 1) / 100) * (0.995 * fall + 0.005)

    def one_step(self):
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        if self.progress() >= augment.LATE_FROM:
            self.cutter.chances = augment.LATE
        seen, wanted = batch_of(self.cutter, self.options.batch, self.x, self.y, self.options.net, self.options.device)
        logits, sides = self.net.logits(*seen)
        of_scores, of_boxes = targets.loss(logits, sides, *wanted)
        self.optimiser.zero_grad()
        (of_scores + 2 * of_boxes).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5)
        self.optimiser.step()
        self.step += 1
        follow(self.average, self.net, self.step)
        return of_scores.item(), of_boxes.item()

    def go(self):
        last, cpu, saved, losses = time.monotonic(), time.process_time(), time.monotonic(), []
        while self.progress() < 1:
            losses.append(self.one_step())
            now, now_cpu = time.monotonic(), time.process_time()
            self.spent, self.cpu, last, cpu = self.spent + now - last, self.cpu + now_cpu - cpu, now, now_cpu
            if self.step % 100 == 0:
                scores, boxes = np.mean(losses, 0)
                line = {"step": self.step, "minutes": self.spent / 60, "cpu_minutes": self.cpu / 60, "rate": self.rate()}
                line |= {"loss_scores": scores, "loss_boxes": boxes}
                self.log.write(json.dumps({key: float(f"{value:.6g}") for key, value in line.items()}) + "\n")
                losses = []
            if now - saved > 60:
                self.save()
                saved = now
        self.save()
        print(f"{self.step} steps, {self.spent / 60:.1f} minutes, {self.cpu / 60:.1f} CPU-minutes", flush=True)


def main(options):
    Run(options).go()
