"""A DiT whose modules are mixtures, in plain PyTorch: ``beta f(x) + (1 - beta) forecast``.

Nothing of clusca_ext is used here; forecasts are plain reuse, or a line through two outputs.
"""

from plain_dit import PlainClusCa
from plain_forecasts import nested


class PlainMixture(PlainClusCa):
    """Full at steps without betas; else mixed.

    Args:
        betas: Of each cached step, by (block, module): tensors with a gradient.
        order: 0 reuses, 1 forecasts along a line.
        theta: Modules of a larger beta are kept as computed; None: none is.
    """

    def __init__(self, model, betas, order=0, theta=None):
        super().__init__(model, (), order, None, None, None)
        self.betas, self.theta, self.past = betas, theta, {}

    def at(self, step, rows, timestep, labels):
        """The model's output at a step."""
        self.step = step
        return self(rows, timestep, labels)

    def _cached(self, layer, block, x, timestep, labels):
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self._modulation(
            block, x, timestep, labels
        )
        attention = block.attn1(block.norm1.norm(x) * (1 + scale_a) + shift_a)
        x = x + gate_a * self._mixed((layer, "attn"), attention)
        mlp = block.ff(block.norm3(x) * (1 + scale_m) + shift_m)
        return x + gate_m * self._mixed((layer, "mlp"), mlp)

    def _mixed(self, key, computed):
        past = self.past.setdefault(key, [])
        if self.step not in self.betas:
            past.append((self.step, computed.detach()))
            return computed
        beta, factors = self.betas[self.step][key], nested(past)
        forecast = factors[0]
        if self.order and len(past) > 1 and self.step - past[-1][0] <= past[-1][0] - past[-2][0]:
            forecast = forecast + (self.step - past[-1][0]) * factors[1]
        if self.theta is not None and beta.item() > self.theta:
            past.append((self.step, computed.detach()))
        return beta * computed + (1 - beta) * forecast
