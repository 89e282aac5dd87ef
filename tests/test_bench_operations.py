"""measuring/operations.py: counted from a composition, against a run in which all is counted."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from clusca_ext import ClusCaConfig, ClusterCorrector, ExplicitSchedule, NoCorrection, cache
from clusca_ext.measuring.models import MODELS
from clusca_ext.measuring.operations import operations
from loop import Loop

CORRECTORS = {"forecast": NoCorrection(), "clusters": ClusterCorrector(num_clusters=8)}


def counted(loop, config):
    """Operations of every step of a run, where nothing is planned for coming ones."""
    totals = [0]
    with (
        cache(loop.model, config),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as c,
    ):
        handle = loop.model.register_forward_hook(lambda *_: totals.append(c.get_total_flops()))
        loop.run(3)
        handle.remove()
    return [later - earlier for earlier, later in zip(totals, totals[1:], strict=False)]


@pytest.mark.parametrize("corrector", CORRECTORS.values(), ids=CORRECTORS)
@pytest.mark.parametrize("name", ["tiny", "tiny-dit", "tiny-hunyuan", "tiny-wan"])
def test_steps_have_the_operations_that_are_counted_for_them(name, corrector):
    loop = Loop(MODELS[name], "cpu", torch.float32)
    config = ClusCaConfig(schedule=ExplicitSchedule(steps=(0, 1)), corrector=corrector)
    of_model = operations(name)
    _, full, cached = counted(loop, config)
    assert full == of_model.full
    assert cached == pytest.approx(of_model.cached(config), rel=0.02)


def test_a_run_promises_what_its_steps_do():
    of_model, config = operations("tiny"), ClusCaConfig(corrector=NoCorrection())
    assert of_model.clustering(config) == 0 and of_model.speedup(config, 10, 0) == 1
    expected = 50 / (10 + 40 * of_model.cached(config) / of_model.full)
    assert of_model.speedup(config, 10, 40) == pytest.approx(expected)
    clusters = ClusCaConfig(corrector=ClusterCorrector(num_clusters=4, max_iters=3))
    N, D = 64, 32
    assert of_model.clustering(clusters) == 4 * 2 * N * 4 * D
    assert of_model.speedup(clusters, 10, 40) < expected
