"""diffusers' group offload: what a group holds is there while one of its modules is called.

On the disk, so that a CPU shows it: between calls the weights are memory without content, filled
with NaN here.
"""

import contextlib
import itertools

import pytest
import torch
from diffusers.hooks import apply_group_offloading

from clusca_ext import (
    ClusCaConfig,
    FirstBlockSchedule,
    NoCorrection,
    ReuseForecaster,
    cache,
)
from clusca_ext.enable import cache_of
from families_image import IMAGES, PIXART
from families_video import VIDEOS
from test_families import TIMES, run
from test_memory_format import DIT
from test_offload import CONFIG, assert_same, cached

CPU = torch.device("cpu")
VACE = next(family for family in VIDEOS if str(family).startswith("WanVACE"))
GROUPS = {
    "block": {"offload_type": "block_level", "num_blocks_per_group": 1},
    "leaf": {"offload_type": "leaf_level"},
}


@contextlib.contextmanager
def empty_is_nan():
    """Only there does torch fill what it allocates."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("before", [True, False], ids=["offloaded-first", "cached-first"])
@pytest.mark.parametrize(
    "family, groups",
    # DiT's own forward reaches into its first block, which no group offload allows.
    [(DIT, "leaf"), *itertools.product((*IMAGES, *VIDEOS), GROUPS)],
    ids=str,
)
def test_group_offload(family, groups, before, tmp_path):
    model = family.make()
    expected, plain = cached(family, model), run(family, model)

    def offload():
        apply_group_offloading(model, CPU, CPU, offload_to_disk_path=tmp_path, **GROUPS[groups])
        blocks = [p for name, p in model.named_parameters() if "blocks" in name or "layers" in name]
        assert blocks and all(weight.isnan().all() for weight in blocks)

    with empty_is_nan():
        if before:
            offload()
            assert_same(cached(family, model), expected)
        else:
            with cache(model, CONFIG, timesteps=TIMES):
                assert_same(run(family, model), expected)
                offload()
                assert_same(run(family, model), expected)
        assert_same(run(family, model), plain)


@pytest.mark.parametrize("family", [PIXART, VACE], ids=str)
def test_what_a_schedule_looks_at_is_there(family, tmp_path):
    """VACE finds the stream of its first block with weights of that block."""
    model = family.make()
    schedule = FirstBlockSchedule(threshold=1e9, max_interval=3)
    config = ClusCaConfig(schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection())

    def kinds():
        with cache(model, config, timesteps=TIMES):
            outputs = run(family, model)
            return outputs, [branch.kinds for branch in cache_of(model).branches.values()]

    expected, decided = kinds()
    with empty_is_nan():
        apply_group_offloading(model, CPU, CPU, offload_to_disk_path=tmp_path, **GROUPS["block"])
        got, again = kinds()
    assert again == decided and "cached" in decided[0]
    assert_same(got, expected)
