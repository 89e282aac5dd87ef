"""TeaCache as published for checkpoints of Wan and CogVideoX, and how a model's is found."""

from itertools import pairwise

import pytest

from clusca_ext import ClusCaConfig, TeaCacheSchedule, method
from clusca_ext.adapters.checkpoints import CHECKPOINTS
from clusca_ext.drawing.choice import by_name
from clusca_ext.schedule import TEACACHE_CHECKPOINTS, TEACACHE_RETAINED, Step
from families_video import COGVIDEOX, wan
from families_video2 import WAN_VACE
from test_branches import wan_pipeline

# As the scripts of ali-vilab/TeaCache print them.
PUBLISHED = {
    "Wan2.1-T2V-1.3B": "2.39676752e+03 -1.31110545e+03 2.01331979e+02 -8.29855975e+00 "
    "1.37887774e-01",
    "Wan2.1-T2V-14B": "-5784.54975374 5449.50911966 -1811.16591783 256.27178429 -13.02252404",
    "Wan2.1-I2V-14B-480P": "-3.02331670e+02 2.23948934e+02 -5.25463970e+01 5.87348440e+00 "
    "-2.01973289e-01",
    "Wan2.1-I2V-14B-720P": "-114.36346466 65.26524496 -18.82220707 4.91518089 -0.23412683",
    "CogVideoX-2b": "-3.10658903e+01 2.54732368e+01 -5.92380459e+00 1.75769064e+00 -3.61568434e-03",
    "CogVideoX-5b": "-1.53880483e+03 8.43202495e+02 -1.34363087e+02 7.97131516e+00 -5.23162339e-02",
    "CogVideoX-5b-I2V": "-1.53880483e+03 8.43202495e+02 -1.34363087e+02 7.97131516e+00 "
    "-5.23162339e-02",
    "CogVideoX1.5-5B": "2.50210439e+02 -1.65061612e+02 3.57804877e+01 -7.81551492e-01 "
    "3.58559703e-02",
    "CogVideoX1.5-5B-I2V": "1.22842302e+02 -1.04088754e+02 2.62981677e+01 -3.06009921e-01 "
    "3.71213220e-02",
}
RETAINED = {
    "Wan2.1-T2V-1.3B": "-5.21862437e+04 9.23041404e+03 -5.28275948e+02 1.36987616e+01 "
    "-4.99875664e-02",
    "Wan2.1-T2V-14B": "-3.03318725e+05 4.90537029e+04 -2.65530556e+03 5.87365115e+01 "
    "-3.15583525e-01",
    "Wan2.1-I2V-14B-480P": "2.57151496e+05 -3.54229917e+04 1.40286849e+03 -1.35890334e+01 "
    "1.32517977e-01",
    "Wan2.1-I2V-14B-720P": "8.10705460e+03 2.13393892e+03 -3.72934672e+02 1.66203073e+01 "
    "-4.17769401e-02",
}


@pytest.mark.parametrize(
    "schedules, printed", [(TEACACHE_CHECKPOINTS, PUBLISHED), (TEACACHE_RETAINED, RETAINED)]
)
def test_polynomials_are_the_published_ones(schedules, printed):
    given = {name: tuple(map(float, text.split())) for name, text in printed.items()}
    assert given == {name: each.polynomial for name, each in schedules.items()}
    assert given.keys() <= CHECKPOINTS.keys()


def published_rule(schedule, shown, steps):
    """Of the script for Wan: which steps of a branch are computed."""
    retained, end = (5, steps) if schedule in TEACACHE_RETAINED.values() else (1, steps - 1)
    total, before, made = 0.0, None, []
    for step in range(steps):
        if step < retained or step >= end:
            computed, total = True, 0.0
        else:
            x = abs(shown[step] - before) / abs(before)
            total += sum(c * x ** (4 - i) for i, c in enumerate(schedule.polynomial))
            computed = total >= schedule.threshold
            total = 0.0 if computed else total
        before = shown[step]
        made.append(computed)
    return made


@pytest.mark.parametrize(
    "schedule", [*TEACACHE_CHECKPOINTS.values(), *TEACACHE_RETAINED.values()], ids=str
)
@pytest.mark.parametrize("scale", [0.02, 0.05, 0.15])
def test_decisions_are_those_of_the_published_rule(schedule, scale):
    steps = 50
    shown = [1.0]
    for step in range(1, steps):  # changes of a size that rises, as a shifted scheduler's do
        shown.append(shown[-1] * (1 + scale * (0.3 + step / steps)))
    changes = [None] + [abs(b - a) / abs(a) for a, b in pairwise(shown)]
    decide, last, made = schedule.start(steps), None, []
    for index in range(steps):
        step = Step(index, steps, last)
        decision = decide(step)
        if decision is None:
            decision = decide.see(step, changes[index])
        last = index if decision else last
        made.append(decision)
    assert made == published_rule(schedule, shown, steps)


def model_like(family, name, loaded_from=""):
    """A tiny model that says it is of a checkpoint's configuration."""
    model = family.make()
    model.register_to_config(**CHECKPOINTS[name][1], _name_or_path=loaded_from)
    return model


@pytest.mark.parametrize("name", TEACACHE_CHECKPOINTS)
def test_a_model_has_its_checkpoints(name, tmp_path):
    family = wan() if name.startswith("Wan") else COGVIDEOX
    loaded_from = f"hub/models--Wan-AI--{name}-Diffusers/snapshots/0a/transformer"
    config = method("teacache", model_like(family, name, loaded_from))
    assert config.schedule == TEACACHE_CHECKPOINTS[name]
    config.save(tmp_path / "config.json")
    assert ClusCaConfig.load(tmp_path / "config.json") == config
    unnamed = method("teacache", model_like(family, name)).schedule
    known = unnamed if "I2V-14B" not in name else TEACACHE_CHECKPOINTS[name]
    assert known == TEACACHE_CHECKPOINTS[name]
    if "I2V-14B" in name:  # both sizes have one configuration
        assert unnamed == method("teacache").schedule


def test_a_pipeline_has_its_models():
    pipe, name = wan_pipeline(), "Wan2.1-T2V-14B"
    pipe.transformer.register_to_config(**CHECKPOINTS[name][1])
    assert method("teacache", pipe).schedule == TEACACHE_CHECKPOINTS[name]
    assert by_name("teacache").on(pipe).config.schedule == TEACACHE_CHECKPOINTS[name]


def test_what_is_not_published_is_taken_from_no_other():
    """Wan 2.2's experts look like Wan 2.1, and first and last frames like image to video."""
    plain, name = method("teacache"), "Wan2.1-T2V-14B"
    pipe = wan_pipeline(two=True)
    pipe.transformer.register_to_config(**CHECKPOINTS[name][1])
    assert method("teacache", pipe) == plain
    assert method("teacache", model_like(wan(), name, "Wan-AI/Wan2.2-T2V-A14B-Diffusers")) == plain
    frames = model_like(wan(), "Wan2.1-I2V-14B-720P", "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers")
    frames.register_to_config(pos_embed_seq_len=514)
    assert method("teacache", frames) == plain
    for family in (wan(), COGVIDEOX, WAN_VACE):
        assert method("teacache", family.make()) == plain


def test_fields_are_written_where_they_are_not_the_default():
    """What older releases wrote of this schedule is what is written now."""
    old = {"type": "TeaCacheSchedule", "threshold": 0.25, "polynomial": [1.0, 0.0]}
    old["max_interval"] = None
    assert method("teacache").to_dict()["schedule"] == old
    assert ClusCaConfig.from_dict(method("teacache").to_dict()) == method("teacache")
    schedule = TeaCacheSchedule(change_of="embedded timestep", warmup=5, last=False)
    written = ClusCaConfig(schedule=schedule).to_dict()["schedule"]
    assert (written["change_of"], written["warmup"], written["last"]) == (
        "embedded timestep",
        5,
        False,
    )


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"change_of": "temb"}, "change_of must be one of .*'embedded timestep'.* got 'temb'"),
        ({"warmup": 0}, "warmup must be an integer of at least 1, got 0"),
        ({"last": 1}, "last must be True or False, got 1"),
    ],
)
def test_it_checks_its_fields(fields, message):
    with pytest.raises(ValueError, match=message):
        TeaCacheSchedule(**fields)
