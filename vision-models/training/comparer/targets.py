"""What each cell of the grid should say, and how wrong it is.

A fault is learnt by the cells in its middle; a cell's score should be how well its own box fits (quality focal loss, Li and
others: "Generalized Focal Loss", NeurIPS 2020), boxes are pulled by the generalised overlap (Rezatofighi and others, CVPR
2019).
"""

import numpy as np
import torch
import torch.nn.functional as F

from .net import STRIDE

RADIUS = 1.5 * STRIDE  # cells whose middle is this near to the middle of a box learn it
LEAST_QUALITY = 0.4


def grid(size):
    middles = (np.arange(size // STRIDE) + 0.5) * STRIDE
    y, x = np.meshgrid(middles, middles, indexing="ij")
    return x, y


def of_boxes(boxes, x, y, classes=6):
    """Class scores, sides, cells that hold a fault, and weights (0: teaches nothing) for one sample."""
    scores = np.zeros((classes, *x.shape), np.float32)
    sides = np.zeros((4, *x.shape), np.float32)
    held = np.zeros(x.shape, bool)
    weight = np.ones(x.shape, np.float32)
    for x1, y1, x2, y2, _ in boxes[boxes[:, 4] == 0]:
        weight[(x > x1) & (x < x2) & (y > y1) & (y < y2)] = 0
    real = boxes[boxes[:, 4] > 0]
    area = (real[:, 2] - real[:, 0]) * (real[:, 3] - real[:, 1])
    for x1, y1, x2, y2, label in real[np.argsort(-area)]:  # small ones last, so that they are not hidden
        near = (np.abs(x - (x1 + x2) / 2) < RADIUS) & (np.abs(y - (y1 + y2) / 2) < RADIUS)
        cells = near & (x > x1) & (x < x2) & (y > y1) & (y < y2)
        if not cells.any():
            continue
        held |= cells
        weight[cells] = 1
        scores[:, cells] = 0
        scores[int(label) - 1][cells] = 1
        for plane, value in enumerate((x - x1, y - y1, x2 - x, y2 - y)):
            sides[plane][cells] = value[cells]
    return scores, sides, held, weight


def overlaps(found, wanted):
    """Overlap and generalised overlap of boxes given by their four sides around one point, each 4 x n."""
    area = (found[0] + found[2]) * (found[1] + found[3])
    wanted_area = (wanted[0] + wanted[2]) * (wanted[1] + wanted[3])
    low, high = torch.minimum(found, wanted), torch.maximum(found, wanted)
    both = (low[0] + low[2]) * (low[1] + low[3])
    either = area + wanted_area - both
    hull = (high[0] + high[2]) * (high[1] + high[3])
    return both / either, both / either - (hull - either) / hull


def loss(logits, found, scores, sides, held, weight):
    """Loss of the scores and of the boxes, each per cell that holds a fault."""
    count = max(1, int(held.sum()))
    overlap, generalised = overlaps(found.permute(1, 0, 2, 3)[:, held], sides.permute(1, 0, 2, 3)[:, held])
    quality = torch.ones_like(weight)
    quality[held] = overlap.detach().clamp(LEAST_QUALITY, 1)
    wanted = scores * quality[:, None]
    wrong = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * (logits.sigmoid() - wanted).pow(2)
    of_scores = (wrong * weight[:, None]).sum() / count
    of_boxes_ = (1 - generalised).mean() if count and held.any() else found.sum() * 0
    return of_scores, of_boxes_
