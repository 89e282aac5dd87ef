"""What is asked of every variant of a pipeline."""

import torch

from clusca_ext import ClusCaConfig, ClusterCorrector, IntervalSchedule, cache, summary

CORRECTOR = ClusterCorrector(num_clusters=8)
EVERY = ClusCaConfig(schedule=IntervalSchedule(interval=1), corrector=CORRECTOR)
INTERVAL = ClusCaConfig(schedule=IntervalSchedule(interval=3, warmup=1), corrector=CORRECTOR)


def check_variant(pipe, draw, branches=1, counts=(3, 5)):
    """Bit for bit the pipeline itself where all steps are full; counted where they are not.

    Args:
        pipe: The pipeline.
        draw: Runs it, for eight steps unless ``counts`` says otherwise.
        branches: Calls of its transformer a step.
        counts: Full and cached steps at interval 3.
    """
    plain = draw()
    assert plain.isfinite().all()
    with cache(pipe, EVERY):
        assert torch.equal(draw(), plain)
        assert (summary(pipe).full, summary(pipe).cached) == (sum(counts), 0)
    with cache(pipe, INTERVAL):
        first = draw()
        done = summary(pipe)
        assert (done.full, done.cached, done.partial, done.branches) == (*counts, 0, branches)
        assert first.isfinite().all() and not torch.equal(first, plain)
        assert torch.equal(draw(), first)
    assert torch.equal(draw(), plain)
