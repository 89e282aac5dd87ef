"""Schedules that adapt name what is wrong with their fields."""

import math

import pytest

from clusca_ext import (
    AdaCacheSchedule,
    ClusCaConfig,
    FirstBlockSchedule,
    PyramidSchedule,
    SpeCaSchedule,
    TeaCacheSchedule,
    cache,
)
from clusca_ext.schedule import Signal
from small_dit import options


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TeaCacheSchedule(threshold="much"), "threshold must be a number, got 'much'"),
        (lambda: TeaCacheSchedule(polynomial=("a",)), "every one of polynomial must be a number"),
        (lambda: TeaCacheSchedule(max_interval=0), "max_interval must be an integer of at least 1"),
        (lambda: TeaCacheSchedule(largest=0), "largest must be above 0, got 0"),
        (lambda: TeaCacheSchedule(largest=math.nan), "largest must be a number, got nan"),
        (lambda: Signal("modulated_input"), "kind must be one of .* got 'modulated_input'"),
        (lambda: Signal("residual", 1.5), "block must be the index of a block, got 1.5"),
        (lambda: Signal("residual", None, "l1"), "measure must be one of .*_l1.* got 'l1'"),
        (
            lambda: PyramidSchedule(ranges=(("attn", 2), ("attn", 3))),
            r"ranges must name a module once, got \(\('attn', 2\), \('attn', 3\)\)",
        ),
        (lambda: FirstBlockSchedule(warmup=0), "warmup must be an integer of at least 1, got 0"),
        (lambda: SpeCaSchedule(decay=0), r"decay must be in \(0, 1\], got 0"),
        (lambda: SpeCaSchedule(min_skips=3, max_skips=2), "max_skips must be an integer of at"),
        (lambda: SpeCaSchedule(error="l7"), "error must be one of .* got 'l7'"),
        (lambda: AdaCacheSchedule(codebook=((0.2, 3), (0.1, 2))), "must ascend, got"),
        (lambda: AdaCacheSchedule(codebook=((0.2, 0),)), "every one of intervals of codebook must"),
        (lambda: AdaCacheSchedule(codebook=((0.2, math.inf),)), "of codebook must be an integer"),
        (
            lambda: AdaCacheSchedule(codebook=((math.nan, 2),)),
            "of codebook must be a number",
        ),
        (lambda: AdaCacheSchedule(codebook=(0.1, 2)), "codebook must be a sequence of pairs, got"),
        (lambda: AdaCacheSchedule(codebook=((0.1,),)), "every one of codebook must be a pair, got"),
        (lambda: AdaCacheSchedule(warmup=1), "warmup must be an integer of at least 2, got 1"),
        (lambda: AdaCacheSchedule(block=1.5), "block must be the index of a block, got 1.5"),
        (lambda: TeaCacheSchedule(polynomial=()), "polynomial must have a coefficient at least"),
        (lambda: FirstBlockSchedule(threshold=math.nan), "threshold must be a number, got nan"),
        (lambda: PyramidSchedule(ranges=None), "ranges must be a sequence of pairs, got None"),
        (lambda: PyramidSchedule(ranges=((1, 2),)), "names of ranges must be strings, got 1"),
    ],
)
def test_bad_fields_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_pab_must_name_a_module_of_the_model(model):
    config = ClusCaConfig(schedule=PyramidSchedule(ranges=(("atn", 2),)))
    with pytest.raises(ValueError, match=r"ranges must name one of \['attn', 'mlp'\] at least"):
        cache(model, config, **options()).__enter__()
