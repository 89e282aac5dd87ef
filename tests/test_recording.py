"""What a recorder sees of a run, and that the run does not change by being seen."""

import itertools

import pytest
import torch
from torch import nn

from bare_runs import BARE, call
from clusca_ext import ClusCaConfig, EvenSchedule, NoCorrection, cache, method, summary
from clusca_ext.enable import cache_of
from clusca_ext.recording import Document, Recorder, pictures_of
from clusca_ext.recording.packing import unpack
from small_dit import make_dit, options, sample
from test_pipeline import draw, make_pipeline

EVEN = ClusCaConfig(schedule=EvenSchedule(interval=3, warmup=1))
CONFIGS = {
    "untouched": None,
    "default": EVEN,
    "lean": ClusCaConfig(schedule=EVEN.schedule, storage="lean"),
    "paper": ClusCaConfig.paper("dit"),
    "no-clusters": ClusCaConfig(schedule=EVEN.schedule, corrector=NoCorrection()),
    "by-sample": ClusCaConfig(schedule=method("teacache").schedule),
}


@pytest.fixture(scope="module")
def pipe():
    return make_pipeline()


def record(pipe, config, **options):
    with Recorder(pipe, "run", config, **options) as recorder:
        images = draw(pipe)
    return images, recorder


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_run_stays_bit_for_bit(config, pipe):
    if config is None:
        expected, done = draw(pipe), None
    else:
        with cache(pipe, config):
            expected, done = draw(pipe), summary(pipe)
    images, recorder = record(pipe, config)
    seen = recorder.recording()
    assert torch.equal(images, expected)
    assert len(seen.steps) == 8
    if done is not None:
        each = [step.by_sample or (step.kind,) for step in seen.steps]
        full = tuple(kinds.count("full") for kinds in zip(*each, strict=True))
        assert full == (done.full_by_sample or (done.full,))
        assert all(
            step.kind in (kinds[0], "partial") for step, kinds in zip(seen.steps, each, strict=True)
        )
        assert seen.summary["steps"].startswith("8 of 8")
    assert all(step.seconds > 0 for step in seen.steps)
    assert seen.cost_seconds > 0
    assert sum(step.seconds for step in seen.steps) + seen.cost_seconds < seen.wall_seconds
    assert torch.equal(draw(pipe), draw(pipe))  # nothing is left behind
    hooks = (pipe.transformer._forward_hooks, pipe.transformer._forward_pre_hooks)
    assert not any(hooks)
    assert not any(m._forward_hooks for m in pipe.transformer.modules())


def test_cached_steps_stay_one_graph(emulation):
    """Hooks on the model alone do not hinder a capture: what is replayed is recorded, too."""
    model = make_dit()
    with cache(model, EVEN, **options()):
        expected, done = sample(model), summary(model)
    with Recorder(model, "run", EVEN, **options()) as recorder:
        images = sample(model)
    seen = recorder.recording()
    assert torch.equal(images, expected)
    assert seen.summary["cached step"] == done.cached_step == "one CUDA graph"
    assert len([m for m in seen.maps.steps if m.representatives]) == done.cached


def test_maps_are_the_clusters_of_the_run(pipe):
    """Beside a look from within: labels of full steps, and representatives that are members."""
    looked = {}

    def look(pipe, step, timestep, values):
        state = cache_of(pipe)
        if state.leader.kinds[-1] == "full" and step < 7:
            looked[step] = state.clusters.cluster_ids.tolist()
        return values

    with cache(pipe, EVEN):
        recorder = Recorder(pipe, "run", samples=2)
        with recorder:
            state = cache_of(pipe)
            handle = pipe.transformer.register_forward_hook(
                lambda *_: look(pipe, len(state.leader.kinds) - 1, None, None)
            )
            draw(pipe)
            handle.remove()
    maps = recorder.recording().maps
    assert maps.grid == (8, 8) and maps.frames == 1
    full = {m.step: m.labels for m in maps.steps if not m.representatives}
    assert {s: [unpack(maps.labels[i]) for i in labels] for s, labels in full.items()} == looked
    cached = [m for m in maps.steps if m.representatives]
    assert len(cached) == 8 - sum(s.kind == "full" for s in recorder.recording().steps)
    for each in cached:
        for label, packed in zip(each.labels, each.representatives, strict=True):
            labels, tokens = unpack(maps.labels[label]), unpack(packed)
            assert sorted({labels[token] for token in tokens}) == sorted(set(labels))
            assert len(tokens) == len(set(labels))  # one of each cluster that is not empty


def test_drift_is_the_change_of_what_modules_return(pipe):
    seen = []
    block = pipe.transformer.transformer_blocks[1]
    outputs = {}
    handles = [
        module.register_forward_hook(lambda m, _, out, i=i: outputs.update({i: out[0].clone()}))
        for i, module in enumerate((block.attn1, block.ff))
    ]
    handles.append(
        pipe.transformer.register_forward_hook(lambda *_: seen.append([outputs[0], outputs[1]]))
    )
    _, recorder = record(pipe, None)
    for handle in handles:
        handle.remove()
    drift = recorder.recording().features
    assert drift.blocks == (0, 1, 2) and drift.steps == tuple(range(1, 8))
    rows = slice(None, None, 2)  # 32 of 64 tokens
    for row, (before, now) in zip(drift.values, zip(seen, seen[1:], strict=False), strict=True):
        changes = [
            float((a[rows] - b[rows]).norm() / b[rows].norm())
            for a, b in zip(now, before, strict=True)
        ]
        assert row[1] == pytest.approx(sum(changes) / 2, rel=1e-5)


def test_kept_outputs_drift_as_those_of_hooks(pipe):
    """What storage keeps of full steps, beside what hooks see when every step is full."""
    every = ClusCaConfig(schedule=EvenSchedule(interval=1), corrector=NoCorrection())
    _, hooked = record(pipe, None)
    _, kept = record(pipe, every)
    hooked, kept = hooked.recording().features, kept.recording().features
    assert kept.steps == hooked.steps[:-1]  # of the last step nothing is kept
    torch.testing.assert_close(torch.tensor(kept.values), torch.tensor(hooked.values[:-1]))


def test_gates_are_seen_where_they_are_planned(pipe):
    _, recorder = record(pipe, EVEN)
    gates = recorder.recording().gates
    assert gates.blocks == (0, 1, 2) and gates.steps[-1] == 7
    assert all(b == a + 1 for a, b in zip(gates.since, gates.steps, strict=True))
    assert min(min(row) for row in gates.values) > 0


def test_what_is_not_recorded_says_why(pipe):
    untouched = record(pipe, None)[1].recording().missing
    assert untouched["maps"] == "the run has no cache" and "cache plans" in untouched["gates"]
    none = record(pipe, CONFIGS["no-clusters"])[1].recording()
    assert none.maps is None and "no corrector" in none.missing["maps"]
    assert "lean" in record(pipe, CONFIGS["lean"])[1].recording().missing["features"]
    unknown = nn.Linear(4, 4)
    with Recorder(unknown, "unknown") as recorder:
        unknown(torch.zeros(1, 4))
    seen = recorder.recording()
    assert len(seen.steps) == 1 and "does not know" in seen.missing["features"]


def test_of_several_runs_the_last_counts(pipe):
    for config in (None, EVEN):
        with Recorder(pipe, "run", config) as recorder:
            draw(pipe, steps=8)
            draw(pipe, steps=7)
        seen = recorder.recording()
        assert len(seen.steps) == 7
        assert seen.features.steps[-1] <= 6 and len(set(seen.features.steps)) <= 6
        assert config is None or [m.step for m in seen.maps.steps] == list(range(6))


def test_calls_at_one_timestep_are_one_step():
    model = make_dit()
    with Recorder(model, "guided") as recorder:
        for timestep in (900, 900, 500, 500, 100, 100):
            call(model, timestep)
    assert len(recorder.recording().steps) == 3
    names = itertools.cycle(["uncond", "cond"])
    with Recorder(model, "cached", BARE, branch=lambda *_, **inputs: next(names)) as recorder:
        for timestep in (900, 600, 300, 0):
            for _ in range(2):
                call(model, timestep)
    assert [step.kind for step in recorder.recording().steps] == ["full"] + ["cached"] * 2 + [
        "full"
    ]


def test_each_sample_has_its_kind(pipe):
    seen = record(pipe, CONFIGS["by-sample"])[1].recording()
    assert all(len(step.by_sample) == 2 for step in seen.steps)
    assert seen.maps is not None and seen.maps.steps[0].step == 0


def test_a_run_that_fails_leaves_nothing(pipe):
    recorder = Recorder(pipe, "run", EVEN)
    with pytest.raises(RuntimeError, match="broken off"), recorder:
        handle = pipe.transformer.register_forward_hook(_break_off)
        try:
            draw(pipe)
        finally:
            handle.remove()
    assert not pipe.transformer._forward_hooks
    with pytest.raises(ValueError, match="after the run, got none that ended"):
        recorder.recording()
    with pytest.raises(ValueError, match="has no cache"):
        summary(pipe)


def _break_off(*_):
    raise RuntimeError("broken off")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": ""}, "name must be text, got ''"),
        ({"name": "x", "samples": 5}, r"samples must be an integer in \[1, 4\], got 5"),
        ({"name": "x", "seeds": [1]}, r"options need a config, got \['seeds'\] without"),
    ],
)
def test_bad_arguments(arguments, message, pipe):
    with pytest.raises(ValueError, match=message):
        Recorder(pipe, **arguments)


def test_a_document_is_read_as_it_was_written(pipe, tmp_path):
    images, full = record(pipe, None)
    others, cached = record(pipe, EVEN)
    pictures = [pictures_of(each.permute(0, 3, 1, 2) * 2 - 1) for each in (images, others)]
    runs = [
        full.recording(pictures[0]),
        cached.recording(pictures[1], reference=pictures[0], unrecorded_seconds=0.5),
    ]
    document = Document(kind="run", title="two runs", runs=runs, rows=[{"bench": "x"}])
    document.save(tmp_path / "run.json")
    read = Document.load(tmp_path / "run.json")
    assert read == document
    assert len(read.runs[1].psnr_db) == 2 and min(read.runs[1].psnr_db) > 10
    assert set(read.origin) == {"clusca_ext", "torch", "python", "machine", "date"}
    assert list(tmp_path.iterdir()) == [tmp_path / "run.json"]
    assert (tmp_path / "run.json").stat().st_size < 60_000
