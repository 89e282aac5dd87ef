"""Modulation that differs by token: what a cached step makes of it, and that its values stay."""

import collections
import contextlib
import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from clusca_ext import ClusCaConfig, ClusterCorrector, NoCorrection, RandomPerStep, cache
from clusca_ext.adapters.description import Modulation
from clusca_ext.cache import Cache
from clusca_ext.executor.modulation import GATE, SCALE, SHIFT, at_tokens, is_unmade, of_all
from families_image import qwen
from families_video import hunyuan_video, ltx, wan
from test_families import TIMES, config, run
from test_family_corrections import Recorded
from test_family_inputs import Mlps
from test_settings import in_dtype

FAMILIES = (qwen(True), hunyuan_video("token_replace"), wan(per_token=True), ltx(per_token=True))
CACHED = 3  # a cached step
FEW = 5  # clusters: their MLP's hidden rows are smaller than a token tensor
PRECISIONS = ("float32", "bfloat16", "autocast")


@pytest.fixture(params=FAMILIES, ids=str)
def family(request):
    return request.param


def in_precision(family, precision):
    """The family, its model and the context that they run in."""
    model = family.make()
    if precision == "autocast":
        return family, model, torch.autocast("cpu", torch.bfloat16)
    dtype, inputs = getattr(torch, precision), family.inputs
    changed = dataclasses.replace(
        family, inputs=lambda noise, t: in_dtype(inputs(noise, t), dtype, ("timestep", "guidance"))
    )
    return changed, model.to(dtype), contextlib.nullcontext()


class Allocations(TorchDispatchMode):
    """Operators that allocate, by the elements they allocate."""

    def __init__(self):
        super().__init__()
        self.elements = collections.defaultdict(list)

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        out = op(*args, **(kwargs or {}))
        inputs = [each for a in args for each in (a if isinstance(a, list | tuple) else [a])]
        known = {a.untyped_storage().data_ptr() for a in inputs if isinstance(a, torch.Tensor)}
        for result in out if isinstance(out, tuple | list) else (out,):
            if isinstance(result, torch.Tensor):
                storage = result.untyped_storage()
                if storage.data_ptr() not in known:
                    count = storage.nbytes() // result.element_size()
                    self.elements[count].append(op._schema.name)
        return out


@pytest.mark.parametrize("precision", PRECISIONS)
def test_only_gates_are_made_of_all_tokens(family, precision):
    """One [B, N, D] a gate, and the first block's clone of the stream: no shift, no scale."""
    family, model, context = in_precision(family, precision)
    recorder, step, shapes, gates = Allocations(), [0], [], 0
    with context, cache(model, config(ClusterCorrector(num_clusters=FEW)), timesteps=TIMES):
        held = Cache.of(model)

        def enter(block, args, kwargs):
            if step[0] == CACHED:
                shapes.append(held.blocks[0].description.stream(args, kwargs).shape)
                recorder.__enter__()

        def leave(*_):
            if step[0] == CACHED:
                recorder.__exit__(None, None, None)

        first, last = held.blocks[0].block, held.blocks[-1].block
        first.register_forward_pre_hook(enter, with_kwargs=True)
        last.register_forward_hook(leave)
        run(family, model, lambda now: step.__setitem__(0, now))
        gates = sum(
            module.description.name != "cross" for each in held.blocks for module in each.modules
        )
    (shape,) = shapes
    large = {count: ops for count, ops in recorder.elements.items() if count >= shape.numel()}
    assert list(large) == [shape.numel()]
    made = collections.Counter(large[shape.numel()])
    assert made.pop("aten::clone") == 1
    if precision == "autocast":
        made.pop("aten::_to_copy", None)  # a gate in the stream's dtype
    assert sum(made.values()) == gates and set(made) <= {"aten::gather", "aten::add"}


def made_at_once(description):
    """The same block, whose modulation is that of all tokens from the beginning."""

    def modulation(x, args, kwargs):
        given = description.modulation(x, args, kwargs)
        assert any(map(is_unmade, given))
        return [
            Modulation(*(of_all(each, part, x) for part in (SHIFT, SCALE, GATE))) for each in given
        ]

    return dataclasses.replace(description, modulation=modulation)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("clusters", [8, 40])
def test_values_are_those_of_modulation_of_all_tokens(family, clusters, precision):
    """Bit for bit. Of so many clusters some are empty, and have no representative."""
    family, model, context = in_precision(family, precision)
    outputs = []
    with context:
        for at_once in (False, True):
            selection = Recorded(RandomPerStep())
            corrector = ClusterCorrector(num_clusters=clusters, selection=selection)
            with cache(model, config(corrector), timesteps=TIMES):
                for block in Cache.of(model).blocks if at_once else ():
                    block.description = made_at_once(block.description)
                outputs.append(run(family, model, selection.at))
            empty = [(tokens[0] < 0).any().item() for tokens in selection.tokens.values()]
            assert any(empty) or clusters == 8
    for few, every in zip(*outputs, strict=True):
        assert few.isfinite().all() and torch.equal(few, every)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_mask_computes_mlps(family, precision):
    """On a cached step whose mask says so MLPs are computed on all tokens, shift and scale too."""
    family, model, context = in_precision(family, precision)
    masked = ClusCaConfig(schedule=Mlps(), corrector=NoCorrection())
    every = ClusterCorrector(num_clusters=family.tokens, gamma=1.0, max_iters=0)
    outputs = []
    with context:
        for settings in (masked, config(every, steps=(0,))):
            with cache(model, settings, timesteps=TIMES):
                outputs.append(run(family, model))
    tolerance = 1e-4 if precision == "float32" else 0.05
    for of_mask, of_representatives in zip(*outputs, strict=True):
        torch.testing.assert_close(of_mask, of_representatives, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("form", ["kinds", "shared kinds", "table", "both"])
def test_at_tokens_is_a_part_of_all(form):
    generator = torch.Generator().manual_seed(0)
    B, N, D, R = 2, 7, 4, 3
    rows = N if form == "table" else R
    given = Modulation(*torch.randn(3, B, rows, D, generator=generator))
    if form != "table":
        kinds = torch.randint(R, (1 if form == "shared kinds" else B, N), generator=generator)
        given = given._replace(kinds=kinds)
    if form in ("table", "both"):
        given = given._replace(table=torch.randn(3, D, generator=generator))
    x = torch.zeros(B, N, D)
    tokens = torch.tensor([[3, -1, 0], [6, 6, 2]], dtype=torch.int32)
    for part in (SHIFT, SCALE, GATE):
        everywhere = of_all(given, part, x)
        expected = given[part]
        if given.kinds is not None:
            expected = torch.stack(
                [expected[b, given.kinds.expand(B, N)[b]] for b in range(B)], dim=0
            )
        if given.table is not None:
            expected = expected + given.table[part]
        assert torch.equal(everywhere, expected) and everywhere.shape == (B, N, D)
        few = at_tokens(given, part, x, tokens)
        for b in range(B):
            assert torch.equal(few[b], expected[b, tokens[b].clamp(min=0).long()])
    assert at_tokens(given._replace(shift=None), SHIFT, x, tokens) is None
    assert of_all(given._replace(gate=None), GATE, x) is None
