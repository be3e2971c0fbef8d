"""A module of every kind of attribute that holds variables."""

from __future__ import annotations

import numpy as np

import flowbook as fb
from flowbook import nn


class Net(nn.Module):
    def __init__(self) -> None:
        self.embed = nn.Embedding(11, 4)
        self.blocks = [nn.Dense(4, inputs=4) for _ in range(2)]
        self.heads = {"a": nn.Dense(3), "b": nn.LayerNorm()}
        self.scale = fb.Variable(np.ones((), np.float32), name="scale")
        self.running = fb.Variable(np.zeros(4, np.float32), name="running", trainable=False)
        self.tied = self.embed.weight

    def forward(self, tokens):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.heads["b"](self.heads["a"](x)) * self.scale


def built() -> Net:
    net = Net()
    net(fb.asarray([1, 2, 3]))
    return net
