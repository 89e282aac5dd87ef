"""What is measured by hooks on a model that was compiled: as on one that was not."""

import pytest
import torch

from clusca_ext.learning import calibrate, fit_polynomial
from flux_pipelines import draw, make_pipeline

STEPS = 6


def sample(pipe, seed=0):
    return draw(pipe, steps=STEPS, generator=torch.Generator().manual_seed(seed))


def measured(pipe):
    curves = calibrate(pipe.transformer, lambda seed: sample(pipe, seed), STEPS, max_gap=2)
    found = fit_polynomial(pipe, lambda: (sample(pipe), sample(pipe, 1)))
    return curves, [number for point in found.points for number in point]


@pytest.mark.parametrize("when", ["before", "after"], ids=["not-run-yet", "run-before"])
@pytest.mark.parametrize("blocks", [False, True], ids=["whole", "blocks"])
def test_a_compiled_model_is_measured_as_another(blocks, when):
    torch._dynamo.reset()
    pipe = make_pipeline()
    plain, (curves, points) = sample(pipe), measured(pipe)
    graphs = torch._dynamo.testing.CompileCounter()
    if blocks:
        pipe.transformer.compile_repeated_blocks(backend=graphs)
    else:
        pipe.transformer.compile(backend=graphs)
    if when == "after":
        sample(pipe)
    compiled = graphs.frame_count
    now, then = measured(pipe)
    assert graphs.frame_count == compiled  # nothing that has hooks
    assert now.together == curves.together and then == pytest.approx(points, rel=1e-3)
    for name, rows in curves.curves.items():
        for a, b in zip(now.curves[name], rows, strict=True):
            assert a == pytest.approx(b, rel=1e-3)
    torch.testing.assert_close(sample(pipe), plain, rtol=1e-4, atol=1e-4)
    assert graphs.frame_count > 0
