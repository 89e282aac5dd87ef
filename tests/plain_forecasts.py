"""Forecasters in plain PyTorch, on all outputs of a run: equations for tests to compare with.

Nothing of clusca_ext is used here. ``past`` is a list of (step, output), the last one last.
"""

import itertools
import math

import torch

from plain_dit import PlainClusCa
from small_dit import sample


def projector(grid, low_band):
    """Onto the low frequencies of a grid: one normalised wave after the other. float64 [N, N]"""
    places = list(itertools.product(*map(range, grid)))
    largest = math.sqrt(sum(((side - 1) / side) ** 2 for side in grid))
    P = torch.zeros(len(places), len(places), dtype=torch.float64)
    for frequency in itertools.product(*map(range, grid)):
        radius = math.sqrt(sum((k / side) ** 2 for k, side in zip(frequency, grid, strict=True)))
        if radius > low_band * largest + 1e-9:
            continue
        wave = torch.tensor(
            [
                math.prod(
                    math.cos(math.pi * k * (x + 0.5) / side)
                    for k, x, side in zip(frequency, place, grid, strict=True)
                )
                for place in places
            ],
            dtype=torch.float64,
        )
        wave /= wave.norm()
        P += wave[:, None] * wave
    return P


LOW = projector((8, 8), 0.3)


def nested(history):
    """The differences that TaylorSeer keeps, each order divided by the spacing it was made over."""
    factors = []
    for before, (step, output) in zip([(0, None), *history], history, strict=False):
        made = [output]
        for old in factors:
            made.append((made[-1] - old) / (step - before[0]))
        factors = made
    return factors


def neville(history, at):
    """The polynomial through all of these, by Neville's recursion."""
    steps, values = zip(*history, strict=True)
    for width in range(1, len(steps)):
        values = [
            ((at - a) * right - (at - b) * left) / (b - a)
            for a, b, left, right in zip(steps, steps[width:], values, values[1:], strict=False)
        ]
    return values[0]


def divided(history):
    if len(history) == 1:
        return history[0][1]
    return (divided(history[1:]) - divided(history[:-1])) / (history[-1][0] - history[0][0])


def newton(order):
    return lambda past, at: neville(past[-order - 1 :], at)


def damped_taylor(past, at):
    d, f = at - past[-1][0], nested(past)
    return f[0] + 0.8 * d * f[1] + 0.64 * d**2 / 2 * f[2] if len(f) > 2 else f[0] + 0.8 * d * f[1]


def damped_newton(past, at):
    """Up to order 2 finite differences are multiples of divided ones."""
    now, line, parabola = past[-1][1], neville(past[-2:], at), neville(past[-3:], at)
    return now + 0.5 * (line - now) + 0.25 * (parabola - line)


def hermite(past, at, s=0.71):
    d, f = at - past[-1][0], nested(past)
    made = f[0] + 2 * s**2 * d * f[1]
    return made + (2 * s**4 * d**2 - s**2) * f[2] if len(f) > 2 else made


def spaced_hermite(past, at, unit, s=0.7):
    past = past[-3:]
    u = unit(past)
    x, past = (at - past[-1][0]) / u, [(step / u, output) for step, output in past]
    made = past[-1][1] + 2 * s**2 * x * divided(past[-2:])
    return made + (4 * s**4 * x**2 - 2 * s**2) * divided(past) if len(past) > 2 else made


def mean_spacing(past):
    return (past[-1][0] - past[0][0]) / (len(past) - 1)


def split(past, at):
    """FreqCa: both bands apart, in float64."""
    P = LOW.to(past[0][1].device)
    made = P @ past[-1][1].double() + hermite(past, at).double() - P @ hermite(past, at).double()
    return made.to(past[0][1].dtype)


class PerModule(PlainClusCa):
    """Keeps every output of every module, and forecasts each.

    ``predict`` says the forecast at a step, from (step, output) of all full steps; ``bounded``
    whether the last output is reused where that lies further off than the one before it.
    """

    def __init__(self, model, full_steps, predict, bounded):
        super().__init__(model, full_steps, 0, None, None, None)
        self.predict, self.bounded, self.past = predict, bounded, {}

    def _remember(self, key, feature):
        self.past.setdefault(key, []).append((self.step, feature))

    def _forecast(self, key):
        past = self.past[key]
        last, now = past[-1]
        if len(past) == 1 or (self.bounded and self.step - last > last - past[-2][0]):
            return now
        return self.predict(past, self.step)


class Cumulative(PerModule):
    """The same of one residual, of all blocks."""

    def _full(self, layer, block, x, timestep, labels):
        if layer == 0:
            self.entered = x
        x = super()._full(layer, block, x, timestep, labels)
        if block is self.model.transformer_blocks[-1]:
            super()._remember("all", x - self.entered)
        return x

    def _remember(self, key, feature):
        """Of no module."""

    def _cached(self, layer, block, x, timestep, labels):
        return x + self._forecast("all") if layer == 0 else x


def plain_run(model, plain, steps):
    """``small_dit.sample`` with a plain transcription in the model's place."""

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, rows, timestep, class_labels):
            output = type("Output", (), {})()
            output.sample = plain(rows, timestep, class_labels)
            return output

    return sample(Model(), steps)
