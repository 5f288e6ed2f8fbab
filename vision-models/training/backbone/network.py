"""The backbone: plain 3 x 3 convolutions and ReLU, one grey plane in, features at strides 4, 8 and 16 out."""

import torch
from torch import nn

WIDTHS = (16, 24, 40, 80)
FEATURES = (24, 32, 96)


def conv(a, b, stride):
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b))


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = conv(width, width, 1), conv(width, width, 1)

    def forward(self, x):
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = conv(1, a, 2)
        self.four, self.four_more = conv(a, b, 2), conv(b, b, 1)
        self.eight, self.eight_more = conv(b, c, 2), Block(c)
        self.sixteen, self.sixteen_more = conv(c, d, 2), nn.Sequential(Block(d), Block(d))
        self.heads = nn.ModuleList(nn.Conv2d(width, out, 1) for width, out in zip((b, c, d), FEATURES))

    def forward(self, x):
        x = torch.relu(self.stem(x))
        four = torch.relu(self.four_more(torch.relu(self.four(x))))
        eight = self.eight_more(torch.relu(self.eight(four)))
        sixteen = self.sixteen_more(torch.relu(self.sixteen(eight)))
        return [head(x) for head, x in zip(self.heads, (four, eight, sixteen))]
