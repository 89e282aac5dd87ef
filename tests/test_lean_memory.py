"""Memory of lean storage: as estimated, taken at once, on the host where asked, or not at all."""

from dataclasses import replace

import pytest
import torch

from allocation import allocated
from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    HermiteForecaster,
    LeanStorage,
    NoCorrection,
    PyramidSchedule,
    TaylorForecaster,
    cache,
    enable_cache,
    estimate_memory,
    summary,
)
from clusca_ext.cache import Cache
from clusca_ext.storage.lean import arena
from families_image import FLUX, FLUX2, PIXART
from families_video import hunyuan_video, wan
from small_dit import make_dit, options, sample

STEPS = 12
SIZE = 32  # 256 tokens
LEAN = ClusCaConfig(schedule=EvenSchedule(interval=4), storage="lean")
STORAGES = {
    "per-block": "per_block",
    "window": "lean",
    "rank-1": LeanStorage(rank=1),
    "exact": LeanStorage(basis="exact"),
    "gated": LeanStorage(basis="gated"),
    "offload": LeanStorage(offload=True),
}


def wide_dit():
    return make_dit(attention_head_dim=160, sample_size=SIZE)


def run(model, steps=STEPS, **how):
    return sample(model, steps, size=SIZE, **how)


def configs():
    for name, storage in STORAGES.items():
        for forecaster in (TaylorForecaster(), HermiteForecaster()):
            for corrector in (NoCorrection(), ClusterCorrector()):
                parts = {"forecaster": forecaster, "corrector": corrector, "storage": storage}
                ids = name, forecaster.order, type(corrector).__name__
                yield pytest.param(replace(LEAN, **parts), id="-".join(map(str, ids)))


@pytest.mark.parametrize("config", list(configs()))
def test_a_run_takes_what_was_estimated(config):
    """Counted by the allocator; labels of tokens and small constants are within 2 %."""
    model = wide_dit()
    estimate = estimate_memory(model, (4, 1, SIZE, SIZE), config, num_steps=STEPS)
    held = enable_cache(model, config, **options(STEPS))
    live, _ = allocated(lambda: run(held))
    found = Cache.of(model)
    planned = found.branch.plan.bytes()
    assert abs(live - planned - estimate.total - estimate.parts.get("host", 0)) <= 0.02 * live
    assert summary(model).cache_bytes - planned == pytest.approx(
        estimate.total + estimate.parts.get("host", 0), rel=0.001
    )


@pytest.mark.parametrize("name", ["window", "exact", "gated"])
def test_no_step_of_a_second_run_takes_more(name):
    """Beside what steps of the model itself take, and the modulation planned for it."""
    model = wide_dit()
    config = replace(LEAN, storage=STORAGES[name], corrector=NoCorrection())
    _, plain = allocated(lambda: run(model))
    with cache(model, config, **options(STEPS)):
        first, _ = allocated(lambda: run(model))
        live, peak = allocated(lambda: run(model))
        plan, kept = Cache.of(model).branch.plan, Cache.of(model).branch.storage.bytes()
        assert abs(live) <= 0.02 * first  # the same memory again
        assert peak <= 1.1 * plain + plan.bytes() + 0.1 * kept


@pytest.mark.parametrize(
    "family, basis",
    [
        (FLUX, "window"),
        (FLUX2, "shared-emb"),
        (FLUX2, "window"),
        (PIXART, "shared-emb"),
        (wan(), "shared-emb"),
        (wan(), "window"),
        (wan(), "exact"),
        (hunyuan_video("token_replace"), "window"),
        (hunyuan_video("token_replace"), "exact"),
    ],
    ids=str,
)
def test_families_take_what_was_estimated(family, basis):
    from test_families import TIMES
    from test_families import run as run_family

    model = family.make()
    config = replace(LEAN, storage=LeanStorage(basis=basis), corrector=NoCorrection())
    text = {"encoder_hidden_states": torch.empty(2, 12, 32, device="meta")}
    known = {"num_steps": len(TIMES), **(text if family is FLUX2 else {})}
    estimate = estimate_memory(model, family.noise, config, **known)
    with cache(model, config, timesteps=TIMES):
        run_family(family, model)
        kept = Cache.of(model).branch.storage.bytes()
    assert kept == pytest.approx(estimate.total, rel=0.02)


def test_an_estimate_is_refused_where_the_run_would_be():
    model = make_dit()
    for basis in ("window", "exact"):
        config = replace(LEAN, storage=LeanStorage(basis=basis))
        with pytest.raises(ValueError, match=f"basis='{basis}' needs gates and full steps"):
            estimate_memory(model, (2, 1, 16, 16), config, num_steps=None)
    with pytest.raises(ValueError, match='basis="shared-emb" needs gates'):
        config = replace(LEAN, storage=LeanStorage(basis="shared-emb"))
        estimate_memory(model, (2, 1, 16, 16), config)
    with pytest.raises(ValueError, match=r"num_steps must be an integer of at least 1, got 0"):
        estimate_memory(model, (2, 1, 16, 16), LEAN, num_steps=0)
    with pytest.raises(ValueError, match="got PyramidSchedule with steps that compute single mod"):
        config = replace(LEAN, schedule=PyramidSchedule(), corrector=NoCorrection())
        estimate_memory(model, (2, 1, 16, 16), config)
    with pytest.raises(ValueError, match="ranges must name one of "):
        other = PyramidSchedule(ranges=(("cross", 2),))
        estimate_memory(model, (2, 1, 16, 16), replace(config, schedule=other, storage="per_block"))


def test_too_little_memory_falls_to_nothing(monkeypatch):
    model = make_dit()
    with cache(model, replace(LEAN, corrector=NoCorrection()), **options(STEPS)):
        with monkeypatch.context() as patch:

            def refuse(*args, **kwargs):
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

            patch.setattr(arena.torch, "empty", refuse)
            with pytest.raises(torch.OutOfMemoryError, match=r"take LeanStorage\(rank=1\) or"):
                sample(model, STEPS)
        found = Cache.of(model)
        assert found.branch.storage.bytes() == 0 and not found.branch.kinds[1:]
        expected = sample(model, STEPS)
        assert summary(model).cached > 0
    with cache(model, replace(LEAN, corrector=NoCorrection()), **options(STEPS)):
        assert torch.equal(sample(model, STEPS), expected)


def test_too_little_memory_for_every_block(monkeypatch):
    model = make_dit()
    with cache(model, replace(LEAN, storage="per_block"), **options(STEPS)):
        with monkeypatch.context() as patch:

            def refuse(*args, **kwargs):
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

            patch.setattr(torch.Tensor, "new_zeros", refuse)
            with pytest.raises(torch.OutOfMemoryError, match='take storage="lean", or a smaller'):
                sample(model, STEPS)
        assert Cache.of(model).branch.storage.bytes() == 0
        sample(model, STEPS)
        assert summary(model).cached > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("corrector", [NoCorrection(), ClusterCorrector(num_clusters=5)])
def test_sums_on_the_host_are_the_same(corrector, dtype, device):
    model = make_dit(device, dtype)
    config = replace(LEAN, corrector=corrector)
    with cache(model, config, **options(STEPS)):
        expected = sample(model, STEPS)
    with cache(model, replace(config, storage=LeanStorage(offload=True)), **options(STEPS)):
        got = sample(model, STEPS)
    # What clusters learnt is added in a pass of its own: rounded twice.
    exact = isinstance(corrector, NoCorrection)
    torch.testing.assert_close(
        got, expected, rtol=0 if exact else 3e-2, atol=0 if exact else 3e-2
    ) if dtype != torch.float32 else torch.testing.assert_close(got, expected)


def test_parts_and_groups_on_the_host_are_the_same():
    from test_families import TIMES
    from test_families import run as run_family

    grouped = hunyuan_video("token_replace")
    cases = (wan(), "shared-emb"), (wan(per_token=True), "shared-emb"), (grouped, "window")
    for family, basis in cases:
        model = family.make()
        kept = replace(LEAN, storage=LeanStorage(basis=basis))
        away = replace(LEAN, storage=LeanStorage(basis=basis, offload=True))
        outputs = []
        for config in (kept, away):
            with cache(model, config, timesteps=TIMES):
                outputs.append(torch.stack(run_family(family, model)))
        torch.testing.assert_close(outputs[1], outputs[0])


def test_sums_on_the_host_keep_a_step_eager(emulation):
    model, config = make_dit(), replace(LEAN, storage=LeanStorage(offload=True))
    with cache(model, replace(config, cuda_graph=False), **options(STEPS)):
        expected = sample(model, STEPS)
    with cache(model, config, **options(STEPS)):
        assert torch.equal(sample(model, STEPS), expected)
        assert summary(model).cached_step == "eager: sums come from the host piece by piece"


@pytest.mark.parametrize("storage", ["per_block", "lean"])
def test_other_errors_are_not_called_a_lack_of_memory(storage, monkeypatch):
    """As a device's, which surfaces wherever it is asked next."""

    def broken(*args, **kwargs):
        raise RuntimeError("an illegal memory access was encountered")

    model = make_dit()
    with cache(model, replace(LEAN, storage=storage), **options(STEPS)):
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "new_zeros", broken)
            patch.setattr(arena.torch, "empty", broken)
            with pytest.raises(RuntimeError, match="illegal memory access") as caught:
                sample(model, STEPS)
        assert not isinstance(caught.value, torch.OutOfMemoryError)
        sample(model, STEPS)
        assert summary(model).cached > 0
