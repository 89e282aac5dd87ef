"""What is kept of text for masks of joint attention: its memory, and who is not concerned."""

import pytest
import torch
from accelerate import cpu_offload
from diffusers.hooks import apply_group_offloading

from clusca_ext import (
    ClusCaConfig,
    MaskSchedule,
    NoCorrection,
    PyramidSchedule,
    ReuseForecaster,
    cache,
    summary,
)
from clusca_ext.adapters import describe
from clusca_ext.block_inputs import Input
from clusca_ext.cache import Cache
from families_image import FLUX, FLUX2, Z_IMAGE, sd3
from test_families import TIMES, assert_close, run
from test_group_offload import CPU, GROUPS, empty_is_nan
from test_joint_masks import FAMILIES, FULL, config_of, marks_of

PAB = ClusCaConfig(
    schedule=PyramidSchedule(between=(0, 1)),
    forecaster=ReuseForecaster(),
    corrector=NoCorrection(),
)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_no_more_than_the_text_is_kept(family):
    """As a copy: single-stream blocks hand it on as a part of a stream that holds the image."""
    model, given = family.make(), {}
    blocks = describe(model).blocks

    def look(index, block):
        other = Input(block.block, block.other)

        def hook(module, args, kwargs):
            given.setdefault(index, []).append(other.find(args, kwargs))

        return block.block.register_forward_pre_hook(hook, with_kwargs=True)

    for index, block in enumerate(blocks):
        if block.other is not None:
            look(index, block)
    with cache(model, config_of(marks_of(model)), timesteps=TIMES):
        run(family, model)
        branch = Cache.of(model).branch
        texts, said = branch.seen.texts, summary(model).cache_bytes
        assert bool(texts) == bool(given)
        for index, text in texts.items():
            last = given[index][FULL[-1]]
            assert torch.equal(text, last[:, : text.shape[1]])
            assert text.untyped_storage().data_ptr() != last.untyped_storage().data_ptr()
            assert text.untyped_storage().nbytes() == text.nbytes
        kept = sum(text.nbytes for text in texts.values())
        assert said == branch.plan.bytes() + branch.storage.bytes() + kept
        Cache.of(model).restart()
        assert not branch.seen.texts and summary(model).cache_bytes < said


def mlps_alone(model):
    steps = {"mlp": [1, 1, 1, 1, 0, 1, 1, 0]}  # all blocks alike: few graphs
    names = {
        f"{part.name}-{index}": steps.get(part.name, [1, 0, 1, 0, 0, 1, 0, 0])
        for index, block in enumerate(describe(model).blocks)
        for part in block.modules
    }
    return ClusCaConfig(schedule=MaskSchedule(modules=names), corrector=NoCorrection())


@pytest.mark.parametrize("family", [FLUX, Z_IMAGE], ids=str)
@pytest.mark.parametrize("which", ["pab", "mlps"])
@torch._dynamo.config.patch(recompile_limit=32)  # kinds of steps by kinds of blocks
def test_masks_of_mlps_keep_none_and_break_no_graph(family, which):
    """Attention is computed in full steps alone."""
    model = family.make()
    config = PAB if which == "pab" else mlps_alone(model)
    with cache(model, config, timesteps=TIMES):
        expected = run(family, model)
        assert summary(model).partial
        torch._dynamo.reset()
        for block in describe(model).blocks:
            block.block.compile(backend="eager", fullgraph=True)
        assert_close(run(family, model), expected)
        assert not Cache.of(model).branch.seen.texts


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_step_that_breaks_off_leaves_nothing_to_the_next_run(error):
    """What torch's hooks do not see, too: a new run begins with what is known of none."""
    family = sd3((0,))
    model = family.make()
    names = [f"{p.name}-{i}" for i, b in enumerate(describe(model).blocks) for p in b.modules]
    marks = {name: [1, int(name in ("attn-0", "attn2-0")), *[1] * 6] for name in names}
    config = ClusCaConfig(schedule=MaskSchedule(modules=marks), corrector=NoCorrection())
    with cache(model, config, timesteps=TIMES):
        expected = run(family, model)
        module = Cache.of(model).modules[0, "attn"]
        apply = module.apply

        def breaks(*args):
            if module.computed:
                raise error("out of memory")
            apply(*args)

        module.apply = breaks
        with pytest.raises(error, match="out of memory"):
            run(family, model)
        del module.apply
        Cache.of(model).restart()
        for each in Cache.of(model).modules.values():
            assert each.joined is None and not each.computed
        assert not any(block.substituted for block in Cache.of(model).blocks)
        for again, before in zip(run(family, model), expected, strict=True):
            assert torch.equal(again, before)


@torch.no_grad()
def test_calls_that_are_not_cached_keep_none():
    """Guidance by skipped layers."""
    family = sd3(())
    model = family.make()
    with cache(model, config_of(marks_of(model)), timesteps=TIMES):
        run(family, model)
        kept = dict(Cache.of(model).branch.seen.texts)
        given = family.inputs(torch.zeros(family.noise), TIMES[0])
        model(**given, skip_layers=[1])
        texts = Cache.of(model).branch.seen.texts
        assert texts.keys() == kept.keys() and all(texts[i] is kept[i] for i in kept)


@pytest.mark.parametrize("groups", [*GROUPS, "sequential"])
@pytest.mark.parametrize("family", [sd3((0,)), FLUX, FLUX2], ids=str)
def test_weights_are_there_while_a_block_is_cut_short(family, groups, tmp_path):
    """And away again behind it."""
    model = family.make()
    config, plain = config_of(marks_of(model)), run(family, model)
    with cache(model, config, timesteps=TIMES):
        expected = run(family, model)
    with empty_is_nan():
        if groups == "sequential":
            cpu_offload(model, execution_device=CPU, offload_buffers=False)
        else:
            apply_group_offloading(model, CPU, CPU, offload_to_disk_path=tmp_path, **GROUPS[groups])
        with cache(model, config, timesteps=TIMES):
            assert_close(run(family, model), expected)
        assert all(p.is_meta or p.isnan().all() for p in model.transformer_blocks.parameters())
        assert_close(run(family, model), plain)
