"""What a cached step dispatches: the fused operators, no token tensor, no norm over N rows."""

import collections

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    LeanStorage,
    NoCorrection,
    RandomPerLayer,
    TaylorForecaster,
    cache,
)
from small_dit import make_dit, options, sample

LAYERS, ROWS, TOKENS, CHANNELS = 3, 4, 64, 32
OUTPUT = "clusca::lean_output"  # the clone before it: patches have channels outside
FEW = 5  # clusters: their MLP's hidden rows are smaller than a token tensor


class Recorder(TorchDispatchMode):
    """Counts operators, and the token tensors [B, N, D] they allocate."""

    def __init__(self):
        super().__init__()
        self.calls = collections.Counter()
        self.allocated = []
        self.normed_rows = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        out = op(*args, **(kwargs or {}))
        name = op._schema.name
        self.calls[name] += 1
        if "norm" in name:
            self.normed_rows.append(args[0].shape)
        known = {a.untyped_storage().data_ptr() for a in args if isinstance(a, torch.Tensor)}
        for result in out if isinstance(out, tuple) else (out,):
            is_new = (
                isinstance(result, torch.Tensor)
                and result.untyped_storage().data_ptr() not in known
            )
            if is_new and result.numel() >= ROWS * TOKENS * CHANNELS:
                self.allocated.append(name)
        return out


def record_cached_step(model, config, steps=12):
    """The block stack of the third step, which is cached: from its input to its output."""
    recorder = Recorder()
    step = [0]
    blocks = model.transformer_blocks

    def enter(module, args, kwargs=None):
        if step[0] == 2:
            recorder.__enter__()

    def leave(module, args, output):
        if step[0] == 2:
            recorder.__exit__(None, None, None)

    def next_step(_):
        step[0] += 1

    with cache(model, config, **options(steps)):
        first = blocks[0].register_forward_pre_hook(enter)
        last = blocks[-1].register_forward_hook(leave)
        sample(model, steps, on_step=next_step)
        first.remove(), last.remove()
    return recorder


def clusca_calls(recorder):
    return {
        name.removeprefix("clusca::"): count
        for name, count in recorder.calls.items()
        if name.startswith("clusca::")
    }


@pytest.mark.parametrize("order", [0, 1, 4])
def test_default_correction(order, device):
    corrector = ClusterCorrector(num_clusters=FEW)
    config = ClusCaConfig(forecaster=TaylorForecaster(order=order), corrector=corrector)
    recorder = record_cached_step(make_dit(device), config)
    assert clusca_calls(recorder) == {
        "carry_representatives_": 2 * LAYERS,
        "gather_representatives": LAYERS,
        "lean_output": 1,
    }
    assert recorder.allocated == ["aten::clone", OUTPUT]
    assert recorder.normed_rows == []


def test_no_correction(device):
    recorder = record_cached_step(make_dit(device), ClusCaConfig(corrector=NoCorrection()))
    assert clusca_calls(recorder) == {"lean_output": 1}
    assert recorder.allocated == ["aten::clone", OUTPUT]
    assert recorder.normed_rows == []


@pytest.mark.parametrize("basis", ["window", "exact", "gated"])
def test_lean_storage(basis, device):
    """Whatever is summed, a cached step reads it in one pass."""
    storage = LeanStorage(basis=basis)
    config = ClusCaConfig(corrector=NoCorrection(), storage=storage)
    recorder = record_cached_step(make_dit(device), config)
    assert clusca_calls(recorder) == {"lean_output": 1}
    assert recorder.allocated == ["aten::clone", OUTPUT]
    config = ClusCaConfig(corrector=ClusterCorrector(num_clusters=FEW), storage=storage)
    recorder = record_cached_step(make_dit(device), config)
    assert clusca_calls(recorder) == {
        "carry_representatives_": 2 * LAYERS,
        "gather_representatives": LAYERS,
        "lean_output": 1,
    }
    assert recorder.allocated == ["aten::clone", OUTPUT]
    assert recorder.normed_rows == []


@pytest.mark.parametrize(
    "options", [{"rule": "value"}, {"selection": RandomPerLayer()}], ids=["value", "per-layer"]
)
def test_what_cannot_be_summed_over_modules(options, device):
    corrector = ClusterCorrector(num_clusters=FEW, **options)
    recorder = record_cached_step(make_dit(device), ClusCaConfig(corrector=corrector))
    assert clusca_calls(recorder) == {
        "forecast_residual_": LAYERS,
        "gather_representatives": LAYERS,
        "propagate_residual_": LAYERS,
    }
    assert recorder.allocated == ["aten::clone"]
    assert recorder.normed_rows == []


def test_the_papers_rule(device):
    corrector = ClusterCorrector(
        num_clusters=FEW, rule="value", persistent=True, selection=RandomPerLayer()
    )
    recorder = record_cached_step(make_dit(device), ClusCaConfig(corrector=corrector))
    assert clusca_calls(recorder) == {
        "forecast_residual_": 2 * LAYERS,
        "gather_representatives": LAYERS,
        "propagate_factors_": LAYERS,
    }
    assert recorder.allocated == ["aten::clone"]
    assert recorder.normed_rows == []


def test_attention_is_not_called_and_the_mlp_sees_representatives_only(device):
    model = make_dit(device)
    seen = collections.defaultdict(list)
    for block in model.transformer_blocks:
        block.attn1.register_forward_pre_hook(lambda m, a: seen["attn"].append(a[0].shape))
        block.ff.register_forward_pre_hook(lambda m, a: seen["mlp"].append(a[0].shape))
    config = ClusCaConfig(corrector=ClusterCorrector(num_clusters=FEW))
    with cache(model, config, **options()):
        sample(model)
    full = (ROWS, TOKENS, CHANNELS)
    assert set(seen["attn"]) == {full}
    assert set(seen["mlp"]) == {full, (ROWS, FEW, CHANNELS)}
    cached_steps = seen["mlp"].count((ROWS, FEW, CHANNELS)) // LAYERS
    assert cached_steps == 12 - len(seen["attn"]) // LAYERS > 0


def test_the_input_of_the_first_block_is_left_alone(device):
    """A model may read its embedded input again: it must find what it left there."""
    model = make_dit(device)
    inputs = []

    def keep(module, args, kwargs=None):
        inputs.append((args[0], args[0].clone()))

    model.transformer_blocks[0].register_forward_pre_hook(keep)
    with cache(model, **options()):
        sample(model)
    assert all(torch.equal(tensor, copy) for tensor, copy in inputs)
