"""What enable_cache and its kin refuse, and that a refusal leaves nothing behind."""

import pytest
import torch

from bare_runs import call
from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    FirstBlockSchedule,
    disable_cache,
    enable_cache,
    reset,
    summary,
)
from clusca_ext.cache import Cache
from small_dit import make_dit


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"config": 3}, "config must be a ClusCaConfig, got int"),
        *[
            ({"cfg_rows": rows}, f'cfg_rows must name .* one of them "cond", got {got}')
            for rows, got in [
                (("a", "b"), r"\('a', 'b'\)"),
                (("cond", "cond"), r"\('cond', 'cond'\)"),
                (("cond", 2), r"\('cond', 2\)"),
                ("cond", "'cond'"),
                (2, "2"),
            ]
        ],
        *[
            ({"seeds": seeds}, f"seeds must be a sequence of integers, one at least, got {got}")
            for seeds, got in [
                ([0.9], r"\[0.9\]"),
                ([], r"\[\]"),
                (7, "7"),
                ("78", "'78'"),
                (torch.tensor([0.5, 1.5]), r"tensor\(\[0.5000, 1.5000\]\)"),
            ]
        ],
        ({"seeds": [0, 2**63]}, "every one of seeds must be an integer in .* got 9223372036854775"),
        ({"branch": 3}, "branch must be a function, got 3"),
        ({"timesteps": []}, "timesteps must name at least one step, got none"),
        ({"timesteps": 50}, "timesteps must be those of a whole run, got 50"),
        (
            {"config": ClusCaConfig(corrector=ClusterCorrector(source="last_double"))},
            "source must be one of .'last'. or the index of one of 3 blocks, got 'last_double'",
        ),
        (
            {"config": ClusCaConfig(corrector=ClusterCorrector(source=3))},
            "source must be one of .* got 3",
        ),
    ],
)
def test_enable_cache_rejects(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        enable_cache(model, **arguments)
    assert torch.equal(call(model, 900), call(make_dit(), 900))
    enable_cache(model)  # nothing of the failed attempt is left


def test_enable_and_disable_twice(model):
    enable_cache(model)
    with pytest.raises(ValueError, match="has a cache already: call disable_cache first"):
        enable_cache(model)
    disable_cache(model)
    for function in (disable_cache, reset, summary):
        with pytest.raises(ValueError, match="has no cache: call enable_cache first"):
            function(model)


def test_rows_and_seeds_that_do_not_fit(model):
    enable_cache(model, cfg_rows=("cond", "uncond"))
    with pytest.raises(ValueError, match="cfg_rows names 2 equal groups, got 3 rows"):
        call(model, 900, batch=3)
    disable_cache(model)
    adapting = ClusCaConfig(schedule=FirstBlockSchedule(threshold=0.1))
    for config in (ClusCaConfig(), adapting):
        enable_cache(model, config, seeds=[1, 2, 3])
        with pytest.raises(ValueError, match="seeds must be one for each of 2 samples, got 3"):
            call(model, 900)
        disable_cache(model)


def test_a_timestep_that_is_missing(model):
    enable_cache(model)
    with pytest.raises(ValueError, match="timestep must be among the model's inputs, got none"):
        model(torch.randn(1, 1, 16, 16), class_labels=torch.tensor([1]))


def test_gradients_are_refused(model):
    enable_cache(model)
    rows = torch.randn(1, 1, 16, 16)
    with pytest.raises(ValueError, match="inputs must not require grad"):
        model(rows, timestep=torch.tensor([9]), class_labels=torch.tensor([1]))


@pytest.mark.parametrize("group", ["ranks", 0, object()])
def test_a_process_group_that_is_none_is_refused(group, model):
    with pytest.raises(ValueError, match="process_group must be one of torch.distributed, got"):
        enable_cache(model, process_group=group)
    assert Cache.of(model) is None
