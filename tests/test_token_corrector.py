"""Tokens chosen by score: whole runs against a transcription in plain Python, and laws."""

import dataclasses

import pytest
import torch

from clusca_ext import (
    CATScores,
    ChangeScores,
    ClusCaConfig,
    ExplicitSchedule,
    RandomScores,
    ReuseForecaster,
    TaylorForecaster,
    ToCaScores,
    TokenCorrector,
    cache,
    summary,
)
from clusca_ext.enable import cache_of
from plain_tokens import PlainTokens
from small_dit import make_dit, options, sample

FULL = (0, 3, 7, 12)
STEPS = 16
SCORES = {
    "toca": ToCaScores(staleness_weight=0.4, interval=4, spatial_bonus=0.1, cell=3),
    "cat": CATScores(staleness_weight=0.4, interval=4, num_clusters=5),
    "random": RandomScores(),
}
SETTINGS = {"weight": 0.4, "interval": 4, "bonus": 0.1, "cell": 3, "clusters": 5}
REUSE, TAYLOR = ReuseForecaster(), TaylorForecaster()


def config_of(forecaster, **corrector):
    schedule = ExplicitSchedule(steps=FULL)
    return ClusCaConfig(
        schedule=schedule, forecaster=forecaster, corrector=TokenCorrector(**corrector)
    )


def plain_run(model, kind, forecaster, samples, **how):
    """``sample`` with the transcription in the model's place, and what it chose."""
    order, weights = forecaster.order, forecaster.weights
    plain = PlainTokens(model, set(FULL), order, weights, kind, SETTINGS | how)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, rows, timestep, class_labels):
            output = type("Output", (), {})()
            output.sample = plain(rows, timestep, class_labels)
            return output

    return sample(Model(), STEPS, samples), plain.chosen


def watched_run(model, samples):
    """``sample`` of a cached model, and which tokens its corrected steps computed."""
    chosen = []

    def look(step):
        state = cache_of(model)
        if state.branch.kinds[-1] == "cached" and state.correction.acts:
            module = next(each for each in state.modules.values() if each.corrected)
            chosen.append((step, module.representatives[:samples].tolist()))

    return sample(model, STEPS, samples, on_step=look), chosen


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize(
    "forecaster, persistent",
    [(REUSE, True), (REUSE, False), (TAYLOR, True), (TAYLOR, False)],
    ids=["reuse-persistent", "reuse", "taylor-persistent", "taylor"],
)
@pytest.mark.parametrize("kind", SCORES)
def test_whole_runs(kind, forecaster, persistent, every, device):
    model = make_dit(device)
    how = {"ratio": 0.15, "persistent": persistent, "every": every}
    expected, tokens = plain_run(model, kind, forecaster, 2, **how)
    with cache(model, config_of(forecaster, scores=SCORES[kind], **how), **options(STEPS)):
        got, chosen = watched_run(model, 2)
    assert chosen == tokens
    assert len(chosen) == (12 if every == 1 else 7)
    # A few float32 roundings a layer and step, none of which the equations order otherwise.
    assert (got - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("persistent", [True, False])
def test_every_token_chosen_is_the_mlp_itself(persistent, device):
    """All MLPs are computed, on the forecast attention."""
    model = make_dit(device)
    config = config_of(REUSE, ratio=1.0, persistent=persistent)
    kept, step = {}, [0]

    def reuse(module, args, output):
        if step[0] in FULL:
            kept[module] = output
        return kept[module]

    with cache(model, config, **options(STEPS)):
        got = sample(model, STEPS)
        assert summary(model).representatives == summary(model).tokens == 64
    for block in model.transformer_blocks:
        block.attn1.register_forward_hook(reuse)
    expected = sample(model, STEPS, on_step=lambda index: step.__setitem__(0, index + 1))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_half_of_the_steps_run_no_mlp(device):
    model, rows = make_dit(device), []
    model.transformer_blocks[0].ff.register_forward_pre_hook(
        lambda module, args: rows.append(args[0].shape[1])
    )
    with cache(model, config_of(TAYLOR, ratio=0.25, every=2), **options(STEPS)):
        sample(model, STEPS)
        said = summary(model)
    assert rows == [64, 16, 64, 16, 16, 64, 16, 16, 64, 16, 16]
    assert (said.representatives, said.corrected, said.cached) == (16, 7, 12)
    assert "16 of 64 in an MLP, at 7 of 12 cached steps" in str(said)


@pytest.mark.parametrize("scores", [*SCORES.values(), ChangeScores()], ids=[*SCORES, "change"])
def test_a_choice_does_not_depend_on_its_batch(scores, device):
    """Bit for bit, over full and cached steps, and for both rows of a sample alike."""
    corrector = TokenCorrector(ratio=0.2, scores=scores)
    seeds = torch.tensor([5, -1, 7], device=device)
    runs = [torch.randn(3, 40, 8, device=device) for _ in range(3)]

    def choices(samples):
        state = corrector.start(seeds[samples], ("cond", "uncond"), lambda: (5, 8))
        chosen = []
        for i, tokens in enumerate(runs):
            state.follow(4 * i, torch.cat([tokens[samples], torch.randn_like(tokens[samples])]))
            for step in range(4 * i + 1, 4 * i + 4):
                of_step = state.of_step(step, 2)
                assert of_step.one and len(of_step.tokens) == 2
                for each in (of_step.tokens[0], of_step.cluster_ids):
                    cond, uncond = each.chunk(2)
                    assert torch.equal(cond, uncond)
                    chosen.append(cond)
                again = state.of_step(step, 2)  # as another branch of guidance asks
                assert torch.equal(again.cluster_ids, of_step.cluster_ids)
        return chosen

    batch = choices([0, 1, 2])
    for row in range(3):
        alone = choices([row])
        assert all(torch.equal(a[row], b[0]) for a, b in zip(batch, alone, strict=True))


def test_what_is_chosen_represents_itself_alone():
    state = TokenCorrector(ratio=0.3).start(torch.tensor([0]), (), tuple)
    state.follow(0, torch.randn(2, 10, 4))
    chosen = state.of_step(1, 1)
    tokens = chosen.tokens[0]
    assert tokens.shape == (2, 3) and tokens.dtype == chosen.cluster_ids.dtype == torch.int32
    assert torch.equal(chosen.cluster_ids.gather(1, tokens.long()), torch.arange(3).expand(2, 3))
    assert (chosen.cluster_ids == -1).sum() == 2 * 7


def test_a_token_that_is_not_finite_spoils_no_other():
    state = TokenCorrector(ratio=0.3, scores=ChangeScores()).start(torch.tensor([0]), (), tuple)
    before, tokens = torch.randn(2, 10, 4)
    tokens[3, 1] = torch.nan
    before[4], tokens[5, 0] = 0, torch.inf
    state.follow(0, before[None])
    state.follow(5, tokens[None])
    change = state.signals(6).change[0]
    assert change.isfinite().all() and change.max() == 1
    assert change[[3, 4, 5]].tolist() == [0, 0, 0]


class Short:
    """Scores of one token too few."""

    def of(self, signals, seed):
        return signals.change[:, 1:]


def test_scores_must_be_of_all_tokens():
    state = TokenCorrector(scores=Short()).start(torch.tensor([0]), (), tuple)
    state.follow(0, torch.randn(2, 10, 4))
    with pytest.raises(ValueError, match=r"scores must be of shape \[2, 10\], got \[2, 9\]"):
        state.of_step(1, 1)


@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_graphs_equal_eager_runs(known, every, scores, graphs, device):
    model = make_dit(device)
    config = config_of(TAYLOR, scores=scores, every=every)
    told = options(STEPS) if known else {"cfg_rows": ("cond", "uncond")}
    with cache(model, dataclasses.replace(config, cuda_graph=False), **told):
        expected = sample(model, STEPS)
    with cache(model, config, **told):
        for run in (1, 2):
            assert torch.equal(sample(model, STEPS), expected)
            assert summary(model).cached_step == "one CUDA graph"
            assert graphs.captures + graphs.replays == 12 * run
            assert graphs.captures <= 3 * every
    with cache(model, config_of(REUSE, persistent=True), **options(STEPS)):
        sample(model, STEPS)
        assert summary(model).cached_step.startswith("eager: corrections are written")
