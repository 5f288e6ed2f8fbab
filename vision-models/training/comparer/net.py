"""The comparer: a small fully convolutional net that looks at a piece and its golden board and boxes what differs.

Input `image`: N x 2 x H x W in 0..1 (piece, golden board), H and W multiples of 32. Output `prob`: N x 6 x H/8 x W/8, and
`ltrb`: N x 4 x H/8 x W/8, distances in pixels from the middle of the cell to the sides of the box.

Before the first convolution the net computes by itself where the piece is whiter than anything within one and within two
pixels on the golden board, and where it is blacker. A board that lies a pixel off then gives almost nothing, a fault gives
its own shape, on any board design. Thin faults vanish at two pixels, so the one-pixel planes and the pictures stay beside.

The light net keeps nothing at full resolution: it takes the pictures in patches of four by four pixels, and these planes at
half the resolution.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

STRIDE = 8
REACHES = 2
PLANES = 2 + 2 * REACHES
BOX_UNIT = 16.0


def conv(inputs, outputs, size=3, stride=1):
    return [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]


def block(inputs, outputs, size=3, stride=1):
    return nn.Sequential(*conv(inputs, outputs, size, stride), nn.ReLU(inplace=True))


def patches(inputs, outputs, size):
    """A convolution over patches that lie side by side."""
    result = block(inputs, outputs, size, size)
    result[0].padding = (0, 0)
    return result


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(block(channels, channels), *conv(channels, channels))

    def forward(self, x):
        return F.relu(x + self.body(x))


def planes(image):
    """Piece, golden board, and for each reach: whiter than all golden neighbours, blacker than all golden neighbours."""
    piece, golden = image[:, :1], image[:, 1:]
    result, whitest, blackest = [piece, golden], golden, -golden
    for _ in range(REACHES):
        whitest = F.max_pool2d(whitest, 3, 1, 1)
        blackest = F.max_pool2d(blackest, 3, 1, 1)
        result += [F.relu(piece - whitest), F.relu(-blackest - piece)]
    return torch.cat(result, 1)


def light_planes(image):
    """For each block of two by two pixels: whiter and blacker than the golden block and all within one pixel of it, and
    than all within two."""
    inverse = -image
    whitest, blackest = F.max_pool2d(image, 2, 2), F.max_pool2d(inverse, 2, 2)
    piece = torch.cat([whitest[:, :1], blackest[:, :1]], 1)
    near = torch.cat([F.max_pool2d(image[:, 1:], 4, 2, 1), F.max_pool2d(inverse[:, 1:], 4, 2, 1)], 1)
    far = F.max_pool2d(torch.cat([whitest[:, 1:], blackest[:, 1:]], 1), 3, 1, 1)
    return F.relu(torch.cat([piece - near, piece - far], 1))


class Comparer(nn.Module):
    def __init__(self, classes=6, widths=(48, 64, 96), stem=(16, 32), head=48):
        super().__init__()
        fine, middle, coarse = widths
        # Two narrow steps, because one or two pixels of copper decide between a bite and an open, a spur and a short.
        self.make_stem(stem)
        self.down8 = nn.Sequential(block(stem[1], fine, 3, 2), Residual(fine))
        self.down16 = nn.Sequential(block(fine, middle, 3, 2), Residual(middle))
        self.down32 = nn.Sequential(block(middle, coarse, 3, 2), Residual(coarse))
        self.lift32 = block(coarse, middle, 1)
        self.mix16 = block(middle, middle)
        self.lift16 = block(middle, fine, 1)
        self.mix8 = block(fine, fine)
        self.head = block(fine, head)
        self.scores = nn.Conv2d(head, classes, 1)
        self.sides = nn.Conv2d(head, 4, 1)
        nn.init.normal_(self.scores.weight, std=0.01)
        nn.init.constant_(self.scores.bias, -4.0)
        nn.init.normal_(self.sides.weight, std=0.01)
        nn.init.constant_(self.sides.bias, 0.6)

    def make_stem(self, widths):
        self.stem = nn.Sequential(block(PLANES, widths[0], 3, 2), block(widths[0], widths[1], 3, 2))

    def at4(self, image, seen):
        """What the stem makes of the planes, at a quarter of the resolution."""
        return self.stem(seen)

    def logits(self, image, seen):
        """`seen` are the planes that were computed of the image; training computes them cheaply on bytes."""
        at8 = self.down8(self.at4(image, seen))
        at16 = self.down16(at8)
        at32 = self.down32(at16)
        at16 = self.mix16(at16 + F.interpolate(self.lift32(at32), scale_factor=2.0, mode="nearest"))
        at8 = self.mix8(at8 + F.interpolate(self.lift16(at16), scale_factor=2.0, mode="nearest"))
        out = self.head(at8)
        return self.scores(out), F.softplus(self.sides(out)) * BOX_UNIT

    def forward(self, image):
        scores, sides = self.logits(image, self.planes(image))
        return torch.sigmoid(scores), sides

    @staticmethod
    def planes(image):
        return planes(image)


class Light(Comparer):
    """Three fifths of the time and two fifths of the memory, for half a hundredth of the average precision."""

    def __init__(self):
        super().__init__(widths=(32, 64, 96), stem=(16, 32), head=32)
        # Once more at the coarsest step, for faults of a hundred pixels.
        self.down32.append(Residual(96))

    def make_stem(self, widths):
        self.whole = patches(2, widths[0], 4)
        self.differing = patches(4, widths[0], 2)

    def at4(self, image, seen):
        return torch.cat([self.whole(image), self.differing(seen)], 1)

    @staticmethod
    def planes(image):
        return light_planes(image)


NETS = {"full": Comparer, "light": Light}


def of_weights(weights):
    """The net that these weights are for."""
    net = (Light if "whole.0.weight" in weights else Comparer)()
    net.load_state_dict(weights)
    return net
