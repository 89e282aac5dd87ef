"""Masks that compute joint attention: every family against its own model with plain hooks."""

import inspect
import itertools
import random

import pytest
import torch

from clusca_ext import ClusCaConfig, MaskSchedule, NoCorrection, TaylorForecaster, cache, summary
from clusca_ext.adapters import describe
from clusca_ext.learning import Mixer
from clusca_ext.learning.calls import prediction
from clusca_ext.learning.history import History
from families_image import FLUX, FLUX2, IMAGES
from families_video import VIDEOS
from test_compile_cache import CountGraphs
from test_families import TIMES, Oracle, assert_close, run
from test_mixing import calls_of

FULL, CACHED = (0, 2, 5), (4,)
ALONE = ("PixArt", "Wan", "LTX")  # their attention needs the stream alone
FAMILIES = [each for each in IMAGES + VIDEOS if not any(name in each.name for name in ALONE)]


PARTIAL = [step for step in range(len(TIMES)) if step not in FULL + CACHED]


def marks_of(model):
    """Full steps, a cached one, and others that compute some of what they may, each its own."""
    parts = {(i, p.name): p for i, b in enumerate(describe(model).blocks) for p in b.modules}
    free = [key for key, part in parts.items() if part.computable]
    for seed in itertools.count():
        draw = random.Random(seed)
        marks = {key: [int(step in FULL) for step in range(len(TIMES))] for key in parts}
        for key, step in itertools.product(free, PARTIAL):
            marks[key][step] = draw.randrange(2)
        due = [{key for key, m in marks.items() if m[step]} for step in PARTIAL]
        joint = sum(parts[key].by_forward for each in due for key in each)
        if joint and all(0 < len(each) < len(parts) for each in due):
            return marks


def config_of(marks, order=1):
    return ClusCaConfig(
        schedule=MaskSchedule(modules={f"{name}-{i}": m for (i, name), m in marks.items()}),
        forecaster=TaylorForecaster(order=order),
        corrector=NoCorrection(),
    )


class MaskOracle(Oracle):
    """Each module forecast by hooks where it is not due; text of blocks is the last full step's."""

    def __init__(self, family, model, order, marks):
        description = describe(model)
        steps = [[s for s, mark in enumerate(m) if mark] for m in marks.values()]
        named = map(model.get_submodule, family.modules)
        self.due, self.texts = dict(zip(named, steps, strict=True)), {}
        super().__init__(family, model, order)
        for index, block in enumerate(description.blocks):
            if block.other is not None:
                block.block.register_forward_pre_hook(self.enter(index, block), with_kwargs=True)

    def hook(self, module, args, output):
        self.full = self.due[module]
        return super().hook(module, args, output)

    def enter(self, index, description):
        def exchange(block, args, kwargs):
            given = inspect.signature(type(block).forward).bind(block, *args, **kwargs)
            stream = given.arguments[description.other]
            beside = description.beside((), self.inputs)
            if self.step in FULL:
                self.texts[index] = stream[:, :beside].clone() if beside else stream
                return None
            text = self.texts[index]
            if beside:
                text = torch.cat([text, stream[:, beside:]], dim=1)
            given.arguments[description.other] = text
            return given.args[1:], given.kwargs

        return exchange


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_masks_of_joint_attention_equal_hooks(family, order):
    model = family.make()
    marks = marks_of(model)
    with cache(model, config_of(marks, order), timesteps=TIMES):
        got = run(family, model)
        told = summary(model)
    assert (told.full, told.cached, told.partial) == (3, 1, 4)
    oracle = MaskOracle(family, model, order, marks)
    oracle.inputs = family.inputs(torch.zeros(family.noise), TIMES[0])
    assert_close(got, run(family, model, oracle.at))


def mixed_run(family, model, marks, refresh=0.5):
    """With betas of 0 and 1, in steps that are not full."""
    mixer, history, got = Mixer(describe(model), TaylorForecaster(order=1)), History(), []
    calls = calls_of(family, model)
    with mixer.installed(), torch.no_grad():
        for step, call in enumerate(calls):
            if step in FULL:
                output = mixer.full(call, step, history)
            else:
                betas = {key: torch.tensor(float(m[step])) for key, m in marks.items()}
                output = mixer.mixed(call, step, history, betas, refresh)
            got.append(prediction(output))
    return got


MIXED = [family for family in FAMILIES if "Mochi" not in family.name]  # whose mixture is refused


@pytest.mark.parametrize("family", MIXED, ids=str)
def test_a_router_trains_on_what_its_mask_will_do(family):
    model = family.make()
    marks = marks_of(model)
    with cache(model, config_of(marks), timesteps=TIMES):
        expected = run(family, model)
    assert_close(mixed_run(family, model, marks), expected)


@pytest.mark.parametrize("family", MIXED, ids=str)
def test_at_betas_of_one_it_is_the_model_on_the_text_of_the_last_full_step(family):
    """Where what is computed is kept, such a step is full: the model itself."""
    model = family.make()
    every = {key: [1] * len(TIMES) for key in marks_of(model)}
    assert_close(mixed_run(family, model, every), run(family, model))
    got = mixed_run(family, model, every, refresh=None)
    oracle = MaskOracle(family, model, 1, every)
    oracle.inputs = family.inputs(torch.zeros(family.noise), TIMES[0])
    assert_close(got, run(family, model, oracle.at))


def told(family, prompts):
    """Calls with each prompt at every step, in turn."""
    noises = [torch.randn(family.noise, generator=generator(s)) for s in range(len(TIMES))]
    for noise, timestep in zip(noises, TIMES, strict=True):
        for prompt in prompts:
            inputs = family.inputs(noise, timestep)
            given = inputs["encoder_hidden_states"]
            yield {
                **inputs,
                "encoder_hidden_states": torch.randn(given.shape, generator=generator(prompt)),
            }


def generator(seed):
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
@pytest.mark.parametrize("family", [FLUX, FLUX2], ids=str)
def test_every_branch_has_a_text_of_its_own(family):
    model = family.make()
    marks, alone = marks_of(model), []
    for prompt in (0, 1):
        with cache(model, config_of(marks)):
            alone.append([model(**each, return_dict=False)[0] for each in told(family, [prompt])])
    with cache(model, config_of(marks)):
        both = [model(**each, return_dict=False)[0] for each in told(family, [0, 1])]
        assert summary(model).branches == 2
    assert_close(both[::2], alone[0])
    assert_close(both[1::2], alone[1])
    assert (both[1] - both[0]).norm() > 1e-3 * both[0].norm()


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "blocks"])
def test_compiled_models_compute_it_too(whole):
    model, backend = FLUX.make(), CountGraphs()
    config = config_of(marks_of(model))
    with cache(model, config, timesteps=TIMES):
        expected = run(FLUX, model)
        torch._dynamo.reset()
        for each in [model] if whole else [block.block for block in describe(model).blocks]:
            each.compile(backend=backend)
        for _ in range(2):
            assert_close(run(FLUX, model), expected)
    assert backend.graphs
