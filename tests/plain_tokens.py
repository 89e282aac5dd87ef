"""ToCa's and CAT Pruning's choice of tokens written out in plain Python, for tests to compare with.

Lists and loops over samples and tokens; ``PlainTokens`` runs a whole DiT with it, as ``plain_dit``.
"""

from fractions import Fraction

import torch

from clusca_ext.random_keys import random_keys
from plain_dit import PlainClusCa, lloyd


def highest(scores, count):
    """The tokens of highest score of one sample; of equal ones the lower first."""
    return sorted(range(len(scores)), key=lambda n: (-scores[n], n))[:count]


def relative_change(tokens, before):
    """Of one sample's tokens [N, D]: distance moved over length before, the largest being 1."""
    change = [float((t - b).norm() / b.norm()) for t, b in zip(tokens, before, strict=True)]
    return [each / max(change) for each in change]


def with_bonus(scores, side, cell, bonus):
    """More for the best token of each square of a square grid."""
    scores = list(scores)
    for top in range(0, side, cell):
        for left in range(0, side, cell):
            square = [
                row * side + column
                for row in range(top, min(top + cell, side))
                for column in range(left, min(left + cell, side))
            ]
            scores[min(square, key=lambda n: (-scores[n], n))] += bonus
    return scores


def spread_over_clusters(scores, ids, count):
    """Seat after seat to the cluster whose size over 2 seats + 1 is largest (Sainte-Lague)."""
    members = {c: [n for n in highest(scores, len(scores)) if ids[n] == c] for c in set(ids)}
    sizes, chosen = {c: len(each) for c, each in members.items()}, []
    seats = dict.fromkeys(members, 0)
    for _ in range(count):
        open_ = [c for c in members if seats[c] < sizes[c]]
        to = min(open_, key=lambda c: (-Fraction(sizes[c], 2 * seats[c] + 1), members[c][seats[c]]))
        chosen.append(members[to][seats[to]])
        seats[to] += 1
    return chosen


class PlainTokens(PlainClusCa):
    """One run whose rows are [cond, uncond]; ``kind`` names the scores: toca, cat or random.

    ``settings``: ratio, persistent, every; weight and interval of staleness; bonus, cell; clusters.
    """

    def __init__(self, model, full_steps, order, weights, kind, settings):
        super().__init__(model, full_steps, order, weights, corrector=None, start=None)
        self.kind, self.how = kind, settings
        self.before = self.change = self.centroids = None
        self.chosen = []  # of every corrected step: step, lists of tokens by sample
        self.computed_at = []

    def _cluster(self, x):
        x = x[: len(x) // 2]
        S, N, _ = x.shape
        self.computed_at = [[self.step] * N for _ in range(S)]
        if self.before is None:
            keys = random_keys(torch.tensor([0, 0]), -3, N)[0].tolist()
            self.change = [[key / 2**32 for key in keys]] * S
        else:
            self.change = [relative_change(*pair) for pair in zip(x, self.before, strict=True)]
        self.before = x.clone()
        if self.kind == "cat":
            if self.centroids is None:
                keys = random_keys(torch.tensor([0, 0]), -1, N)
                self.centroids = x[:, keys.topk(self.how["clusters"], dim=1).indices[0]]
            fitted = [
                lloyd(tokens, centroids, "l2", 10, 1e-4)
                for tokens, centroids in zip(x, self.centroids, strict=True)
            ]
            self.ids = [labels.tolist() for labels, _ in fitted]
            self.centroids = torch.stack([centroids for _, centroids in fitted])

    def _choose(self):
        """Once a step: lists of tokens by sample."""
        if self.chosen and self.chosen[-1][0] == self.step:
            return self.chosen[-1][1]
        chosen = []
        for s, computed_at in enumerate(self.computed_at):
            N = len(computed_at)
            count = max(1, round(self.how["ratio"] * N))
            if self.kind == "random":
                keys = random_keys(torch.tensor([0, self.step]), -2, N)[0].tolist()
                tokens = highest(keys, count)
            else:
                rate = self.how["weight"] / self.how["interval"]
                scores = [
                    change + rate * (self.step - at)
                    for change, at in zip(self.change[s], computed_at, strict=True)
                ]
                if self.kind == "cat":
                    tokens = spread_over_clusters(scores, self.ids[s], count)
                else:
                    scores = with_bonus(scores, 8, self.how["cell"], self.how["bonus"])
                    tokens = highest(scores, count)
            for n in tokens:
                computed_at[n] = self.step
            chosen.append(tokens)
        self.chosen.append((self.step, chosen))
        return chosen

    def _cached(self, layer, block, x, timestep, labels):
        if (self.step - self.last) % self.how["every"] != 1 % self.how["every"]:
            return super()._cached(layer, block, x, timestep, labels)
        _, _, gate_a, shift_m, scale_m, gate_m = self._modulation(block, x, timestep, labels)
        x = x + gate_a * self._forecast((layer, "attn"))
        tokens = torch.tensor(2 * self._choose(), device=x.device)
        batch = torch.arange(len(x), device=x.device).unsqueeze(1)
        computed = block.ff(block.norm3(x[batch, tokens]) * (1 + scale_m) + shift_m)
        key = layer, "mlp"
        if self.how["persistent"]:
            self.factors[key][0] = self.factors[key][0].clone()
            self.factors[key][0][batch, tokens] = computed
            return x + gate_m * self._forecast(key)
        out = self._forecast(key)
        out[batch, tokens] = computed
        return x + gate_m * out
