"""Masks in plain PyTorch: every module is computed or forecast from its own past.

Nothing of clusca_ext is used here; ``marks`` are by (block, module): one for each step, 1 computes.
"""

import torch

from plain_dit import PlainClusCa, lloyd, picked
from plain_forecasts import nested


def bounded(order):
    """Weights of a Taylor forecast that reuses beyond the spacing it was made over."""

    def weights(distance, spacing):
        within = spacing is not None and distance <= spacing
        return (1.0, *(float(distance) * within for _ in range(order)))

    assert order <= 1  # of the first order w_1 = d, and no more is needed here
    return weights


class PlainMasks(PlainClusCa):
    """ClusCa's equations where each module has a clock of its own; otherwise as its parent.

    Where MLPs are forecast, their places among those of the step choose the representatives.
    """

    def __init__(self, model, marks, order, weights, corrector=None, start=None):
        steps = range(len(marks[0, "mlp"]))
        full = {step for step in steps if all(each[step] for each in marks.values())}
        super().__init__(model, full, order, weights, corrector, start)
        self.marks, self.times = marks, {}

    def _remember(self, key, feature):
        times, made = self.times.setdefault(key, []), [feature]
        for before in self.factors.get(key, [])[: self.order]:
            made.append((made[-1] - before) / (self.step - times[-1]))
        self.factors[key] = made
        times.append(self.step)

    def _forecast(self, key):
        *earlier, last = self.times[key]
        weights = self.weights(self.step - last, last - earlier[-1] if earlier else None)
        return sum(w * f for w, f in zip(weights, self.factors[key], strict=False))

    def _cached(self, layer, block, x, timestep, labels):
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self._modulation(
            block, x, timestep, labels
        )
        attn, mlp = (layer, "attn"), (layer, "mlp")
        if self.marks[attn][self.step]:
            self._remember(attn, block.attn1(block.norm1.norm(x) * (1 + scale_a) + shift_a))
            x = x + gate_a * self.factors[attn][0]
        else:
            x = x + gate_a * self._forecast(attn)
        if self.marks[mlp][self.step]:
            self._remember(mlp, block.ff(block.norm3(x) * (1 + scale_m) + shift_m))
            return x + gate_m * self.factors[mlp][0]
        if self.corrector is None:
            return x + gate_m * self._forecast(mlp)
        place = sum(not self.marks[before, "mlp"][self.step] for before in range(layer))
        tokens = picked(self.ids, self.centroids.shape[1], self.step, place).long()
        batch = torch.arange(len(x), device=x.device).unsqueeze(1)
        computed = block.ff(block.norm3(x[batch, tokens]) * (1 + scale_m) + shift_m)
        return x + gate_m * self._propagate(mlp, computed, tokens)


class PlainUViT:
    """``test_uvit.UViT`` with its long skips: modules are computed, forecast, or mixed of both.

    Attributes:
        past: Of every module, (step, output) of its computations.
        betas: Of the modules that are mixed at the step; others are computed or forecast by marks.
        start: Tokens of the first centroids [B, K]: clusters correct forecasts of MLPs by the delta
            rule; None: nothing does.
    """

    def __init__(self, model, marks, order, gamma=0.0, start=None):
        self.model, self.marks, self.order = model, marks, order
        self.past, self.step, self.betas = {}, 0, None
        self.gamma, self.start, self.ids, self.centroids = gamma, start, None, None

    def __call__(self, x, timesteps):
        model = self.model
        x = torch.cat([model.time(timesteps[:, None] / 1000.0)[:, None], x], dim=1)
        first, mid, kept = len(model.in_blocks), model.mid_block, []
        for layer, block in enumerate([*model.in_blocks, mid, *model.out_blocks]):
            if layer > first:
                x = block.skip_linear(torch.cat([x, kept.pop()], dim=-1))
            x = x + self._module((layer, "attn"), block.attn, block.norm1(x))
            x = x + self._module((layer, "mlp"), block.mlp, block.norm2(x))
            if layer < first:
                kept.append(x)
        if self.start is not None and all(marks[self.step] for marks in self.marks.values()):
            self._cluster(x)
        self.step += 1
        return x

    def _cluster(self, x):
        if self.centroids is None:
            self.centroids = x[torch.arange(len(x)).unsqueeze(1), self.start]
        fitted = [lloyd(t, c, "l2", 10, 1e-4) for t, c in zip(x, self.centroids, strict=True)]
        self.ids = torch.stack([labels for labels, _ in fitted])
        self.centroids = torch.stack([centroids for _, centroids in fitted])

    def _module(self, key, module, rows):
        past = self.past.setdefault(key, [])
        if self.betas is not None:
            beta = self.betas[key]
            return beta * module(rows) + (1 - beta) * self._forecast(past)
        if self.marks[key][self.step]:
            past.append((self.step, module(rows)))
            return past[-1][1]
        forecast = self._forecast(past)
        if self.start is None or key[1] == "attn":
            return forecast
        place = sum(not self.marks[before, "mlp"][self.step] for before in range(key[0]))
        batch = torch.arange(len(rows)).unsqueeze(1)
        tokens = picked(self.ids, self.start.shape[1], self.step, place).long()
        computed = module(rows[batch, tokens])
        moved = (computed - forecast[batch, tokens])[batch, self.ids]
        out = forecast + self.gamma * moved
        out[batch, tokens] = computed
        return out

    def _forecast(self, past):
        distance = self.step - past[-1][0]
        factors = nested(past)
        if self.order and len(past) > 1 and distance <= past[-1][0] - past[-2][0]:
            return factors[0] + distance * factors[1]
        return factors[0]
