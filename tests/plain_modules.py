"""SpeCa and AdaCache on a DiT in plain PyTorch, where every module has a past of its own.

Both decide a step from what earlier ones showed, so each says itself which steps are full.
"""

import math

from plain_adapting import relative_l1
from plain_dit import PlainClusCa


def taylor(order):
    """Unbounded: ``d**i / i!``."""
    return lambda distance, spacing: [distance**i / math.factorial(i) for i in range(order + 1)]


class Deciding(PlainClusCa):
    """Called as ``small_dit.sample`` calls a model; ``kinds`` tells what each step was."""

    def __init__(self, model, order):
        super().__init__(model, set(), order, taylor(order), None, None)
        self.kinds = []

    def parameters(self):
        return self.model.parameters()

    def __call__(self, rows, timestep, class_labels):
        full = self.decide(self.step)
        if full:
            self.full_steps.add(self.step)
        self.kinds.append("full" if full else "cached")
        output = super().__call__(rows, timestep, class_labels)
        return type("Output", (), {"sample": output})


class PlainSpeCa(Deciding):
    """After a full step one is cached; then the last block's error decides the next step.

    Attributes:
        told: Of every step that an error decided: step, error, threshold, whether it is full.
    """

    def __init__(self, model, steps, order, schedule):
        super().__init__(model, order)
        self.steps, self.how = steps, schedule
        self.error, self.in_a_row, self.told = None, 0, []

    def allowed(self, step):
        how = self.how
        return max(how["threshold"] * how["decay"] ** (step / (self.steps - 1)), how["floor"])

    def decide(self, step):
        full = step == 0
        if self.in_a_row > 0:
            full = step < self.how["warmup"] or self.in_a_row == self.how["max_skips"]
            if not full and self.error is not None:
                full = self.error > self.allowed(step)
                self.told.append((step, self.error, self.allowed(step), full))
        self.error = None
        self.in_a_row = 0 if full else self.in_a_row + 1
        return full

    def _cached(self, layer, block, x, timestep, labels):
        forecast = super()._cached(layer, block, x, timestep, labels)
        if block is self.model.transformer_blocks[-1] and self.in_a_row >= self.how["min_skips"]:
            computed = block(x, timestep=timestep, class_labels=labels)
            self.error = float(((forecast - computed).abs() / (computed.abs() + 1e-10)).mean())
        return forecast


class PlainAdaCache(Deciding):
    """Every module's last output is reused; the middle block's residual sets the next interval."""

    def __init__(self, model, codebook, warmup=2):
        super().__init__(model, order=0)
        self.codebook, self.warmup = codebook, warmup
        self.interval, self.before, self.changes = 1, None, []

    def decide(self, step):
        return step < self.warmup or step - self.last >= self.interval

    def _full(self, layer, block, x, timestep, labels):
        out = super()._full(layer, block, x, timestep, labels)
        if layer == len(self.model.transformer_blocks) // 2:
            self.interval = 1
            if self.before is not None:
                change = relative_l1(out - x, self.before) / (self.step - self.last)
                self.changes.append(change)
                self.interval = next((n for bound, n in self.codebook if change < bound), 1)
            self.before = out - x
        return out
