"""What a cache should save: counted operations of the full sampler over those of a cached run."""

import dataclasses

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from clusca_ext.demo.pipeline import DigitsPipeline
from clusca_ext.demo.run import Sampled
from clusca_ext.enable import cache
from clusca_ext.schedule import ExplicitSchedule
from clusca_ext.summary import Summary

Shape = tuple[int, ...]


def _attention(query: Shape, key: Shape, value: Shape, *args: object, **kwargs: object) -> int:
    return int(sdpa_flop_count(query, key, value))


# The counter knows attention by its CUDA names only.
_CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}


def counter() -> FlopCounterMode:
    """Counts matrix products and attention, on a CPU too, within a ``with`` block."""
    return FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION)


def kmeans_operations(done: Summary, samples: int, channels: int) -> float:
    """Of the passes k-means made over the tokens of so many samples, each of ``channels``."""
    passes = done.clusterings * ((done.kmeans_iterations or 0) + 1) * samples
    return passes * 2 * done.tokens * done.num_clusters * channels


def flops_ratio(pipeline: DigitsPipeline, sampled: Sampled) -> float:
    """Count a cached run against the full sampler.

    Matrix products and attention are counted as they are dispatched, on one full and one cached
    step of the same samples, the representatives' MLPs and the modulation among them; k-means by
    the passes it made.
    Element-wise operations, which are bound by memory, have no share in either count.

    Args:
        pipeline: The embedded model, without a cache.
        sampled: What a cached row drew.
    """
    done, config = sampled.summary, sampled.row.config
    assert done is not None and config is not None
    totals: list[int] = []
    two_full = dataclasses.replace(config, schedule=ExplicitSchedule(steps=(0, 1)))
    with cache(pipeline, two_full), counter() as counted:
        pipeline(
            sampled.labels,
            num_inference_steps=3,
            on_step=lambda step, images: totals.append(int(counted.get_total_flops())),
        )
    full, cached = totals[1] - totals[0], totals[2] - totals[1]
    kmeans = kmeans_operations(done, len(sampled.labels), pipeline.transformer.inner_dim)
    return float(done.steps * full / (done.full * full + done.cached * cached + kmeans))
