"""Every family's cached step with few clusters, value by value, against its own model.

The oracle's hooks let the model compute its MLPs on all tokens, of which they take what the
representatives have: everything else is forecasts, corrected in plain torch.
"""

import pytest
import torch

from clusca_ext import ClusterCorrector, RandomPerLayer, RandomPerStep, cache, summary
from families_image import IMAGES
from families_video import VIDEOS
from test_families import FULL, TIMES, Oracle, assert_close, config, run

GAMMA = 0.3


class Recorded:
    """A selection of which is kept what it chose at every step."""

    def __init__(self, selection):
        self.selection = selection
        self.step, self.ids, self.tokens = 0, {}, {}

    def at(self, step):
        self.step = step

    def select(self, clusters, seed, layers):
        chosen = list(self.selection.select(clusters, seed, layers))
        self.ids[self.step] = clusters.row_ids.long()
        self.tokens[self.step] = [tokens.long() for tokens in chosen]
        return chosen


class CorrectedOracle(Oracle):
    """Forecasts of MLPs are corrected by what they make of the representatives."""

    def __init__(self, family, model, recorded, rule):
        super().__init__(family, model, order=1)
        self.layers = {model.get_submodule(name): i for i, name in enumerate(family.mlps)}
        self.recorded, self.rule = recorded, rule

    def hook(self, module, args, output):
        forecast = super().hook(module, args, output)
        if forecast is None or module not in self.layers:
            return forecast
        ids = self.recorded.ids[self.step]
        tokens = self.recorded.tokens[self.step][self.layers[module]]
        N = ids.shape[1]  # text may come before them
        corrected = self.correct(forecast[:, -N:], output[:, -N:], ids, tokens)
        return torch.cat([forecast[:, :-N], corrected], dim=1)

    def correct(self, forecast, computed, ids, tokens):
        rows = torch.arange(len(ids)).unsqueeze(1)
        representative = tokens[rows, ids]  # each token's: [B, N]
        own = computed[rows, representative]
        if self.rule == "delta":
            out = forecast + GAMMA * (own - forecast[rows, representative])
        else:
            out = GAMMA * own + (1 - GAMMA) * forecast
        for row, chosen in enumerate(tokens):
            chosen = chosen[chosen >= 0]  # of clusters without tokens there are none
            out[row, chosen] = computed[row, chosen]
        return out


@pytest.fixture(params=IMAGES + VIDEOS, ids=str)
def family(request):
    return request.param


@pytest.mark.parametrize(
    "rule, selection",
    [("delta", RandomPerStep()), ("delta", RandomPerLayer()), ("value", RandomPerStep())],
    ids=["default", "per-layer", "value"],
)
def test_few_clusters(family, rule, selection):
    """Where layers share representatives, updates wait for the end of a segment; else they do not.

    With the rule of values they do not either.
    """
    model, recorded = family.make(), Recorded(selection)
    corrector = ClusterCorrector(num_clusters=8, gamma=GAMMA, rule=rule, selection=recorded)
    with cache(model, config(corrector), timesteps=TIMES):
        got = run(family, model, recorded.at)
        assert (summary(model).full, summary(model).cached) == (3, 5)
        assert (summary(model).representatives, summary(model).tokens) == (8, family.tokens)
    assert sorted(recorded.ids) == [step for step in range(len(TIMES)) if step not in FULL]
    assert all(len(tokens) == len(family.mlps) for tokens in recorded.tokens.values())
    assert_close(got, run(family, model, CorrectedOracle(family, model, recorded, rule).at))
