"""Under torch.set_default_device, which may be another device than the model's."""

import pytest
import torch

from clusca_ext import ClusCaConfig, ClusterCorrector, LeanStorage, cache
from clusca_ext.methods import method
from small_dit import options

STEPS = 8
CONFIGS = {
    "clusters": ClusCaConfig(corrector=ClusterCorrector(num_clusters=4)),
    "frequencies": method("freqca"),
    "tokens": method("toca"),
    "verified": method("speca"),
    "lean-gated": ClusCaConfig(storage=LeanStorage(basis="gated")),
    "lean-window": ClusCaConfig(storage=LeanStorage(basis="window")),
    "lean-host": ClusCaConfig(storage=LeanStorage(basis="window", offload=True)),
}


@torch.no_grad()
def outputs(model, config, default):
    """Of every step of a cached run; a device is the default while the model works."""
    noise = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([1, 2, 10, 10])
    times = [torch.full((4,), float(t)) for t in options(STEPS)["timesteps"]]
    found = []
    with torch.device(default), cache(model, config, **options(STEPS), seeds=[3, 4]):
        for time in times:
            found.append(model(noise, timestep=time, class_labels=labels).sample)
    return torch.stack(found)


@pytest.mark.parametrize("name", CONFIGS)
def test_constants_are_made_where_they_are_needed(model, name):
    expected = outputs(model, CONFIGS[name], "cpu")
    got = outputs(model, CONFIGS[name], "meta")
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
