"""Every family in other precisions, under autocast and with quantised layers."""

import functools

import pytest
import torch

from clusca_ext import ClusCaConfig, ClusterCorrector, ExplicitSchedule, cache, summary
from families_image import IMAGES
from families_video import VIDEOS
from test_families import TIMES, run


@pytest.fixture(params=IMAGES + VIDEOS, ids=str)
def family(request):
    return request.param


def in_dtype(inputs, dtype, kept):
    """All but those kept: times, whose rounding would move them."""

    def convert(value):
        if isinstance(value, list):
            return [convert(each) for each in value]
        return value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value

    return {k: v if k in kept else convert(v) for k, v in inputs.items()}


def cached(family, model):
    """Every token its own cluster: no rounding decides between clusters."""
    corrector = ClusterCorrector(num_clusters=family.tokens, gamma=1.0, max_iters=0)
    config = ClusCaConfig(schedule=ExplicitSchedule(steps=(0,)), corrector=corrector)
    with cache(model, config, timesteps=TIMES):
        out = run(family, model)
        assert (summary(model).full, summary(model).cached) == (1, 7)
    return out


@functools.cache
def exact(family):
    """What the cached float32 model returns, which every precision is compared with."""
    return cached(family, family.make())


def of_full_step(family, model):
    """What the untouched model returns on the one full step, the first."""
    (out,) = run(family, model, times=TIMES[:1])
    return out


def assert_near(got, expected):
    """Cached steps are about as far from float32 as the untouched model is on its full one."""
    errors = []
    for a, b in zip(got, expected, strict=True):
        assert a.isfinite().all()
        errors.append(((a.float() - b).norm() / b.norm()).item())
    assert 0 < max(errors) <= 4 * errors[0] < 1


def test_autocast(family):
    model = family.make()
    expected = exact(family)
    with torch.autocast("cpu", torch.bfloat16):
        plain = of_full_step(family, model)
        got = cached(family, model)
    assert torch.equal(got[0], plain)
    assert_near(got, expected)
    assert all(torch.equal(a, b) for a, b in zip(cached(family, model), expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_low_precision(family, dtype):
    model = family.make()
    expected = exact(family)
    model, inputs = model.to(dtype), family.inputs
    kept = () if family.low_times else ("t", "timestep", "guidance")
    low = type(family)(
        **{**vars(family), "inputs": lambda noise, t: in_dtype(inputs(noise, t), dtype, kept)}
    )
    plain, got = of_full_step(low, model), cached(low, model)
    assert torch.equal(got[0], plain)
    assert_near(got, expected)


def test_int8_weights(family):
    from torchao import quantization  # slow to import

    model = family.make()
    expected = exact(family)
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
    plain, got = of_full_step(family, model), cached(family, model)
    assert torch.equal(got[0], plain)
    assert_near(got, expected)


LAYERS = {
    "Linear8bitLt": {"has_fp16_weights": False},
    "Linear4bit": {"compute_dtype": torch.float32, "quant_type": "nf4"},
}


@pytest.mark.parametrize("layer", LAYERS)
def test_bitsandbytes(family, layer):
    of = pytest.importorskip("bitsandbytes").nn
    model = family.make()
    expected = exact(family)
    kept = getattr(model, "_keep_in_fp32_modules", None) or ()  # as diffusers' quantizer does
    for name, linear in list(model.named_modules()):
        if type(linear) is torch.nn.Linear and not any(part in name for part in kept):
            quantised = getattr(of, layer)(
                linear.in_features, linear.out_features, linear.bias is not None, **LAYERS[layer]
            )
            quantised.load_state_dict(linear.state_dict())
            model.set_submodule(name, quantised)
    model.to("cpu")  # where the weights are quantised
    layers = [module for module in model.modules() if isinstance(module, getattr(of, layer))]
    assert len(layers) > 10 and not any(each.weight.is_floating_point() for each in layers)
    plain, got = of_full_step(family, model), cached(family, model)
    assert torch.equal(got[0], plain)
    assert_near(got, expected)
