"""What a mixed run has kept of its earlier steps, in plain PyTorch."""

import torch
from torch import Tensor

from clusca_ext import reference
from clusca_ext.forecast import Forecaster
from clusca_ext.forecast.outputs import weights_of
from clusca_ext.schedule import Key


class History:
    """What modules returned at earlier steps, each at its own.

    Attributes:
        factors: Of every module seen. [O+1, B, N, D]
        steps: At which it was computed, the last one first.
        texts: What blocks were given of another stream, by index, at the last full step.
    """

    def __init__(self) -> None:
        self.factors: dict[Key, Tensor] = {}
        self.steps: dict[Key, list[int]] = {}
        self.texts: dict[int, Tensor] = {}

    def keep(self, key: Key, feature: Tensor, step: int, order: int) -> None:
        """A module returned ``feature`` [B, N, D] at a step."""
        steps = self.steps.setdefault(key, [])
        factors = self.factors.get(key)
        if factors is None:
            factors = feature.new_zeros((order + 1, *feature.shape))
        spacing = step - steps[0] if steps else 1
        self.factors[key] = reference.taylor_update_(factors, feature, spacing, len(steps))
        steps.insert(0, step)

    def forecast(self, key: Key, step: int, forecaster: Forecaster) -> Tensor:
        """What the module would return at a step. [B, N, D]"""
        steps, factors = self.steps[key], self.factors[key]
        spacings = [b - a for b, a in zip(steps, steps[1 : len(factors)], strict=False)]
        weights = list(weights_of(forecaster, step - steps[0], spacings))
        weights += [0.0] * (len(factors) - len(weights))  # of orders that have no past
        return reference.taylor_forecast(factors, torch.tensor(weights, device=factors.device))

    def as_it_is(self) -> "History":
        """Another one, which keeps nothing of what this one will."""
        history = History()
        history.factors = dict(self.factors)
        history.steps = {key: list(steps) for key, steps in self.steps.items()}
        history.texts = dict(self.texts)
        return history
