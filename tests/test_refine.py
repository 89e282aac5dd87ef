"""What a local search tries around methods: each number of their parts, a little less and more."""

from dataclasses import replace

import pytest

from clusca_ext import (
    AdaCacheSchedule,
    ClusCaConfig,
    NoCorrection,
    PyramidSchedule,
    ReuseForecaster,
    SpeCaSchedule,
    TokenCorrector,
)
from clusca_ext.lab.refine import neighbours
from clusca_ext.lab.trials import Candidate

SPECA = SpeCaSchedule(threshold=0.5, floor=0.125, decay=0.25, min_skips=3, max_skips=5)
ADACACHE = AdaCacheSchedule(codebook=((0.1, 4), (1.0, 1)))
PAB = PyramidSchedule(ranges=(("attn", 2), ("cross", 6)))
ONE = PyramidSchedule(ranges=(("attn", 1),))
TOKENS = TokenCorrector(ratio=0.2, every=2)


@pytest.mark.parametrize(
    "parts, part, fields",
    [
        ({"schedule": SPECA}, "schedule", {"threshold": 0.4}),
        ({"schedule": SPECA}, "schedule", {"floor": 0.1}),
        ({"schedule": SPECA}, "schedule", {"decay": 0.5}),
        ({"schedule": SPECA}, "schedule", {"min_skips": 4}),
        ({"schedule": SPECA}, "schedule", {"max_skips": 6}),
        ({"schedule": ADACACHE}, "schedule", {"codebook": ((0.1, 3), (1.0, 1))}),
        ({"schedule": ADACACHE}, "schedule", {"codebook": ((0.1, 5), (1.0, 2))}),
        ({"schedule": ONE}, "schedule", {"ranges": (("attn", 2),)}),
        ({"schedule": PAB}, "schedule", {"ranges": (("attn", 3), ("cross", 7))}),
        ({"corrector": TOKENS}, "corrector", {"ratio": 0.1}),
        ({"corrector": TOKENS}, "corrector", {"every": 3}),
    ],
)
def test_it_is_tried(parts, part, fields):
    start = ClusCaConfig(**{"forecaster": ReuseForecaster(), "corrector": NoCorrection()} | parts)
    expected = replace(start, **{part: replace(getattr(start, part), **fields)})
    around = neighbours(Candidate("start", start))
    assert expected in [each.config for each in around]
    assert len({each.name for each in around}) == len(around)
    assert start not in [each.config for each in around]
