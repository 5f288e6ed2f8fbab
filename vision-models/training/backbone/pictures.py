"""Pictures to distil on: crops of real surfaces, drawn textures, and faults drawn on both.

What a surface looks like in a plant that nobody has seen yet is not known, so half of the pictures are drawn from noise,
and every picture is turned, stretched, lit and blurred at random. Everything follows from one seed.
"""

import glob
import os

import numpy as np
from PIL import Image

SIDE = 128


def noise(rng, shape, beta):
    """Noise whose spectrum falls with frequency to the power of beta, mean 0, standard deviation 1."""
    h, w = shape
    fy, fx = np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None]
    stretch = 2.0 ** rng.uniform(-2.5, 2.5) if rng.random() < 0.5 else 1.0
    f = np.sqrt((fx * stretch) ** 2 + fy**2)
    f[0, 0] = 1.0
    spectrum = (rng.normal(size=f.shape) + 1j * rng.normal(size=f.shape)) / f**beta
    spectrum[0, 0] = 0
    x = np.fft.irfft2(spectrum, s=shape)
    return ((x - x.mean()) / (x.std() + 1e-9)).astype(np.float32)


def grid(side):
    return np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))


def turned(rng, side):
    """Coordinates turned by a random angle and bent a little."""
    x, y = grid(side)
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    bend = rng.choice([0.0, 0.0, rng.uniform(0, 6)])
    return u + bend * noise(rng, (side, side), 2.0), v + bend * noise(rng, (side, side), 2.0)


def grating(rng, side):
    u, _ = turned(rng, side)
    wave = np.sin(u * 2 * np.pi / rng.uniform(3, 40) + rng.uniform(0, 6))
    return np.clip(wave * rng.choice([1, 4, 20]), -1, 1)


def weave(rng, side):
    u, v = turned(rng, side)
    p, q = rng.uniform(4, 24, 2)
    a, b = np.sin(u * 2 * np.pi / p), np.sin(v * 2 * np.pi / q)
    return np.where(np.sin(u * np.pi / p) * np.sin(v * np.pi / q) > 0, a, b) if rng.random() < 0.5 else a * b


def brushed(rng, side):
    u, v = turned(rng, side)
    line = np.interp(np.ravel(u), np.arange(-2 * side, 3 * side), noise(rng, (1, 5 * side), rng.uniform(0, 1))[0]).reshape(side, side)
    return line + rng.uniform(0, 0.6) * noise(rng, (side, side), rng.uniform(0, 1))


def fibres(rng, side):
    out = np.zeros((side, side), np.float32)
    x, y = grid(side)
    for _ in range(rng.integers(10, 60)):
        cx, cy, angle = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(0, np.pi)
        u, v = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle), -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        v = v + rng.uniform(-0.02, 0.02) * u**2
        out += rng.normal() * np.exp(-((v / rng.uniform(0.6, 2)) ** 2) - (u / rng.uniform(6, 50)) ** 4)
    return out


def blobs(rng, side):
    field = noise(rng, (side, side), rng.uniform(1, 2.5))
    level = rng.uniform(-1, 2)
    return np.tanh((field - level) * rng.choice([1, 3, 20]))


def cells(rng, side):
    """Grains: the nearest of random points."""
    n = int(rng.integers(8, 120))
    points = rng.uniform(0, side, (n, 2)).astype(np.float32)
    x, y = grid(side)
    d = np.sort(np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1]), -1) if n < 30 else None
    if d is not None and rng.random() < 0.5:
        return np.tanh((d[..., 1] - d[..., 0]) / rng.uniform(1, 6))
    nearest = np.argmin((x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2, -1)
    return rng.normal(size=n)[nearest]


def shapes(rng, side):
    """Edges and corners: rectangles, discs and lines over each other."""
    out = np.zeros((side, side), np.float32)
    x, y = grid(side)
    for _ in range(rng.integers(2, 14)):
        cx, cy, angle = rng.uniform(0, side), rng.uniform(0, side), rng.choice([0, rng.uniform(0, np.pi)])
        u, v = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle), -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        a, b = rng.uniform(2, side / 2, 2)
        kind = rng.integers(3)
        inside = [np.hypot(u, v) - a, np.maximum(abs(u) - a, abs(v) - b), abs(v) - rng.uniform(0.5, 3)][kind]
        share = np.clip(0.5 - inside / rng.choice([1, 1, 4]), 0, 1)
        out = out * (1 - share) + rng.normal() * share
    return out


TEXTURES = [grating, weave, brushed, fibres, blobs, cells, shapes]


def flat(rng, side):
    return noise(rng, (side, side), rng.uniform(0, 2.2))


def drawn(rng):
    """One texture, or a mix of two, in grey levels."""
    side = SIDE
    kinds = TEXTURES + [flat, flat]
    out = kinds[rng.integers(len(kinds))](rng, side)
    if rng.random() < 0.5:
        other = kinds[rng.integers(len(kinds))](rng, side)
        where = 1 / (1 + np.exp(-rng.uniform(1, 8) * noise(rng, (side, side), 2.5))) if rng.random() < 0.4 else rng.uniform(0, 0.7)
        out = out * (1 - where) + other * where
    out = out + rng.choice([0, 0.05, 0.3]) * noise(rng, (side, side), rng.uniform(0, 1.5))
    out = (out - out.mean()) / (out.std() + 1e-6)
    return np.clip(rng.uniform(40, 215) + out * 2.0 ** rng.uniform(1, 6), 0, 255)


def light(rng, x):
    """Exposure, gamma, a slope of light, blur and sensor noise."""
    x = np.clip(x, 0, 255) / 255.0
    if rng.random() < 0.5:
        x = x ** 2.0 ** rng.uniform(-1, 1)
    if rng.random() < 0.8:
        x = (x - x.mean()) * 2.0 ** rng.uniform(-1.5, 1.2) + rng.uniform(0.15, 0.85)
    if rng.random() < 0.3:
        gx, gy = grid(SIDE)
        slope = (gx / SIDE - 0.5) * rng.normal() + (gy / SIDE - 0.5) * rng.normal()
        x = x * (1 + 0.5 * slope)
    x = x * 255
    if rng.random() < 0.25:
        k = np.exp(-(np.arange(-4, 5) ** 2) / (2 * rng.uniform(0.4, 1.8) ** 2))
        k /= k.sum()
        x = np.pad(x, 4, mode="reflect")
        x = np.apply_along_axis(lambda line: np.convolve(line, k, "valid"), 0, x)
        x = np.apply_along_axis(lambda line: np.convolve(line, k, "valid"), 1, x)
    if rng.random() < 0.4:
        x = x + rng.uniform(0, 10) * rng.normal(size=x.shape)
    return np.clip(np.round(x), 0, 255).astype(np.uint8)


def blemish(rng, x):
    """A scratch, a spot, a foreign patch or a dent."""
    gx, gy = grid(SIDE)
    for _ in range(rng.integers(1, 4)):
        cx, cy, angle = rng.uniform(0, SIDE), rng.uniform(0, SIDE), rng.uniform(0, np.pi)
        u, v = (gx - cx) * np.cos(angle) + (gy - cy) * np.sin(angle), -(gx - cx) * np.sin(angle) + (gy - cy) * np.cos(angle)
        kind = rng.integers(4)
        if kind == 0:
            v = v + rng.uniform(-0.03, 0.03) * u**2 + noise(rng, x.shape, 2.0)
            share = np.exp(-((v / rng.uniform(0.5, 2.5)) ** 2) - (u / rng.uniform(4, 50)) ** 4)
        elif kind == 1:
            r = np.hypot(u, v * rng.uniform(1, 4)) + rng.uniform(0, 3) * noise(rng, x.shape, 2.0)
            share = 1 / (1 + np.exp(np.clip((r - rng.uniform(1.5, 20)) * rng.uniform(0.4, 2), -30, 30)))
        elif kind == 2:
            share = ((abs(u) < rng.uniform(3, 25)) & (abs(v) < rng.uniform(3, 25))).astype(np.float32)
        else:
            share = np.exp(-(u**2 + v**2) / (2 * rng.uniform(2, 14) ** 2))
        what = drawn(rng) if rng.random() < 0.3 else x.mean() + rng.normal() * 60
        x = x * (1 - share) + what * share
    return x


class Surfaces:
    """Crops of real pictures, as many from each folder."""

    def __init__(self, folders):
        self.sets = []
        for folder in folders:
            files = sorted(f for f in glob.glob(os.path.join(folder, "*")) if f.endswith((".png", ".jpg", ".bmp")))
            pictures = [Image.open(f).convert("L") for f in files]
            if not pictures:
                raise SystemExit(f"{folder}: no pictures")
            self.sets.append(pictures)

    def crop(self, rng, weights):
        pictures = self.sets[rng.choice(len(self.sets), p=weights)]
        picture = pictures[rng.integers(len(pictures))]
        w, h = picture.size
        # A window of any size and aspect, turned: what was 40 to 300 pixels wide becomes SIDE.
        size = np.exp(rng.uniform(np.log(40), np.log(min(300, w, h) + 1)))
        sx, sy = (size / SIDE) * np.exp(rng.normal() * 0.2), (size / SIDE) * np.exp(rng.normal() * 0.2)
        angle = rng.choice([0, 0, rng.normal() * 0.2, rng.uniform(0, 2 * np.pi)])
        if rng.random() < 0.5:
            sx = -sx
        c, s = np.cos(angle), np.sin(angle)
        cx, cy = rng.uniform(0.15, 0.85) * w, rng.uniform(0.15, 0.85) * h
        m = SIDE / 2
        data = (c * sx, -s * sy, cx - c * sx * m + s * sy * m, s * sx, c * sy, cy - s * sx * m - c * sy * m)
        return np.asarray(picture.transform((SIDE, SIDE), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR), np.float32)


def batches(seed, folders, weights, batch):
    """Endless batches of pictures, batch x SIDE x SIDE, bytes."""
    rng = np.random.default_rng(seed)
    surfaces = Surfaces(folders) if folders else None
    weights = np.asarray(weights, float) / np.sum(weights) if folders else None
    while True:
        out = np.empty((batch, SIDE, SIDE), np.uint8)
        for i in range(batch):
            x = drawn(rng) if surfaces is None or rng.random() < 0.5 else surfaces.crop(rng, weights)
            if rng.random() < 0.35:
                x = blemish(rng, x)
            out[i] = light(rng, x)
        yield out
