"""Blocks that hand their stream on: updated in one pass at the end, as if module by module."""

import dataclasses

import pytest
import torch
from torch import nn

from clusca_ext import (
    BlockAdapter,
    ClusCaConfig,
    ClusterCorrector,
    GivenTokens,
    HermiteForecaster,
    IntervalSchedule,
    Nearest,
    NoCorrection,
    RandomPerLayer,
    cache,
    enable_cache,
    ops,
)
from test_adapters import DIT_LIKE, Block, Model, run, six

APART = DIT_LIKE
JOINED = dataclasses.replace(DIT_LIKE, hands_on=True)
STEPS = (900, 700, 500, 300, 200, 100)
SCHEDULE = IntervalSchedule(interval=3, warmup=2)
CORRECTIONS = [
    NoCorrection(),
    ClusterCorrector(num_clusters=6, gamma=0.5),
    ClusterCorrector(num_clusters=60, gamma=1.0, max_iters=0),  # every token is a representative
]


class Controlled(Model):
    """As under a ControlNet: something is added to the stream between blocks."""

    def forward(self, x, t):
        for index, block in enumerate(self.net.blocks):
            x = block(x, self.embed(t[:, None].float() / 1000))
            x = x + 0.3 * torch.sin(x.new_full((x.shape[-1],), index) + t[0])
        return x


def make(kind=Model, layers=4):
    return kind(lambda dim: Block(dim, nn.LayerNorm), layers=layers)


def sampled(model, adapter, config):
    with cache(model, config, adapter=adapter):
        return run(model, STEPS)


def assert_alike(got, expected, cached):
    for step, (a, b) in enumerate(zip(got, expected, strict=True)):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        assert step in cached or torch.equal(a, b)


@pytest.fixture
def passes(monkeypatch):
    """How many modules each pass over the stream added."""
    counts, original = [], ops.collapsed_residual

    def counting(x, factors, *args):
        counts.append(len(factors))
        return original(x, factors, *args)

    monkeypatch.setattr(ops, "collapsed_residual", counting)
    return counts


@pytest.mark.parametrize("kind", [Model, Controlled])
@pytest.mark.parametrize("correction", CORRECTIONS, ids=["none", "some", "every-token"])
def test_one_pass_is_module_by_module(kind, correction, passes):
    config = ClusCaConfig(
        schedule=SCHEDULE, forecaster=HermiteForecaster(order=2), corrector=correction
    )
    apart = sampled(make(kind), APART, config)
    assert passes == []
    assert_alike(sampled(make(kind), JOINED, config), apart, cached=(2, 3, 5))
    assert passes == [8, 8, 8]  # attention and MLP of four blocks, three cached steps


def test_stages_of_one_model(passes):
    """Segments end where a block does not hand its stream on, and at the last one."""
    config = ClusCaConfig(schedule=SCHEDULE, corrector=CORRECTIONS[1])

    class Staged(BlockAdapter):
        def describe(self, model):
            described = super().describe(model)
            blocks = [
                dataclasses.replace(block, hands_on=index in (0, 3, 4))
                for index, block in enumerate(described.blocks)
            ]
            return dataclasses.replace(described, blocks=tuple(blocks))

    apart = sampled(make(layers=6), APART, config)
    staged = sampled(make(layers=6), Staged(**vars(DIT_LIKE)), config)
    assert_alike(staged, apart, cached=(2, 3, 5))
    assert passes == [4, 6] * 3  # blocks 0 and 1; 3, 4 and 5; block 2 by itself


class Tokens:
    """Token 6 k of every cluster k's sample, a member or not."""

    def select(self, clusters, seed, layers):
        return [
            6 * torch.arange(6, dtype=torch.int32).expand(len(clusters.cluster_ids), -1)
        ] * layers


@pytest.mark.parametrize(
    "selection, one_pass",
    [(GivenTokens(tokens=(0, 7, 14, -1, 28, 35)), False), (Tokens(), False), (Nearest(), True)],
    ids=["given", "own", "nearest"],
)
def test_tokens_that_may_be_of_other_clusters_are_done_module_by_module(
    selection, one_pass, passes
):
    """One of another cluster is computed for that one, and corrected as a member of its own."""
    corrector = ClusterCorrector(num_clusters=6, gamma=0.5, selection=selection)
    config = ClusCaConfig(schedule=SCHEDULE, corrector=corrector)
    apart = sampled(make(), APART, config)
    assert_alike(sampled(make(), JOINED, config), apart, cached=(2, 3, 5))
    assert bool(passes) == one_pass
    uncorrected = dataclasses.replace(config, corrector=NoCorrection())
    assert not torch.allclose(sampled(make(), JOINED, uncorrected)[3], apart[3], rtol=1e-4)


def test_tokens_that_there_are_not_are_refused():
    corrector = ClusterCorrector(num_clusters=2, selection=GivenTokens(tokens=(0, 40)))
    config = ClusCaConfig(schedule=SCHEDULE, corrector=corrector)
    with pytest.raises(ValueError, match=r"tokens must be of 40 tokens, -1 to 39, got 40"):
        sampled(make(), JOINED, config)


class MaskedLater:
    """Two full steps, two forecast ones, and one that computes an MLP."""

    def start(self, num_steps):
        masks = {2: False, 3: False, 4: frozenset({(1, "mlp")})}
        return lambda step: masks.get(step.index, step.index != 5)


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": MaskedLater()},
        {"corrector": ClusterCorrector(num_clusters=6, rule="value")},
        {"corrector": ClusterCorrector(num_clusters=6, selection=RandomPerLayer())},
        {"corrector": ClusterCorrector(num_clusters=6, rule="value", persistent=True)},
    ],
    ids=["mask", "value", "per-layer", "persistent"],
)
def test_what_cannot_wait_is_added_module_by_module(changes, passes):
    config = ClusCaConfig(**{"schedule": SCHEDULE, "corrector": CORRECTIONS[1], **changes})
    apart = sampled(make(), APART, config)
    assert_alike(sampled(make(), JOINED, config), apart, cached=(2, 3, 4, 5))
    assert passes == ([8, 8, 8] if "schedule" in changes else [])


def test_the_stream_given_to_the_model_is_left_alone():
    x = torch.randn(2, 40, 24)
    before = x.clone()
    model = make()
    with torch.no_grad(), cache(model, ClusCaConfig(schedule=SCHEDULE), adapter=JOINED):
        for t in STEPS:
            model(x, torch.tensor([t, t]))
    assert torch.equal(x, before)


def test_a_step_that_raised_leaves_nothing_behind():
    config = ClusCaConfig(schedule=SCHEDULE, corrector=CORRECTIONS[1])
    expected = sampled(make(), JOINED, config)
    model = make()
    enable_cache(model, config, adapter=JOINED)

    def fail(module, args):
        if args[0].shape[1] == 6:  # representatives
            raise RuntimeError("on purpose")

    handle = model.net.blocks[2].mlp.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        run(model, STEPS)
    handle.remove()
    for a, b in zip(run(model, STEPS), expected, strict=True):
        assert torch.equal(a, b)


def test_gates_that_differ_by_token_are_refused():
    def by_token(block, x, c):
        return [
            [part.unsqueeze(1).expand(-1, 40, -1) for part in parts] for parts in six(block, x, c)
        ]

    adapter = dataclasses.replace(JOINED, modulation=by_token)
    with (
        cache(make(), ClusCaConfig(schedule=SCHEDULE), adapter=adapter) as model,
        pytest.raises(ValueError, match=r"gate of 'attn' must be \[B, D\] .* got \[2, 40, 24\]"),
    ):
        run(model, STEPS)


def test_blocks_read_again_cannot_hand_on():
    with pytest.raises(ValueError, match=r"hands_on must be False .* got keeps_stream=\(1,\)"):
        dataclasses.replace(JOINED, keeps_stream=(1,))
