"""A cache's memory is free when it is removed, and so is the model's when that is deleted.

Not only when garbage is collected: that does not know how much a device has left.
"""

import gc
import weakref
from dataclasses import replace

import pytest

from allocation import allocated
from clusca_ext import (
    CATScores,
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    FirstBlockSchedule,
    LeanStorage,
    NoCorrection,
    SpeCaSchedule,
    TokenCorrector,
    disable_cache,
    enable_cache,
)
from clusca_ext.cache import Cache
from small_dit import make_dit, options, sample

STEPS, SIZE = 7, 24  # 144 tokens
CONFIG = ClusCaConfig(schedule=EvenSchedule(interval=3, warmup=2), corrector=NoCorrection())
CONFIGS = {
    "per block": CONFIG,
    "clusters": replace(CONFIG, corrector=ClusterCorrector()),
    "persistent": replace(CONFIG, corrector=ClusterCorrector(rule="value", persistent=True)),
    "tokens": replace(CONFIG, corrector=TokenCorrector(scores=CATScores())),
    "speca": replace(CONFIG, schedule=SpeCaSchedule()),
    "first block": replace(CONFIG, schedule=FirstBlockSchedule(threshold=0.1)),
    "window": replace(CONFIG, storage="lean"),
    "rows": replace(CONFIG, storage="lean", corrector=ClusterCorrector()),
    "exact": replace(CONFIG, storage=LeanStorage(basis="exact")),
    "gated": replace(CONFIG, storage=LeanStorage(basis="gated")),
    "host": replace(CONFIG, storage=LeanStorage(offload=True)),
}


@pytest.fixture(scope="module")
def model():
    made = make_dit(attention_head_dim=128, layers=2, sample_size=SIZE)
    sample(made, STEPS, size=SIZE)  # what torch keeps of its first products
    return made


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_removed_cache_holds_nothing(model, config):
    def on_and_off():
        nonlocal kept
        enable_cache(model, config, **options(STEPS))
        sample(model, STEPS, size=SIZE)
        kept = Cache.of(model).branch.storage.bytes()
        disable_cache(model)

    kept = 0
    left, _ = allocated(on_and_off)
    assert left <= 0.02 * kept


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_model_that_was_cached_is_freed_as_any_other(config):
    model = make_dit()
    gc.collect()
    gc.disable()
    try:
        enable_cache(model, config, **options(STEPS))
        sample(model, STEPS)
        disable_cache(model)
        alive = weakref.ref(model), weakref.ref(model.transformer_blocks[0].ff)
        del model
        assert [each() for each in alive] == [None, None]
    finally:
        gc.enable()
