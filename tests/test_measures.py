"""How changes are measured, against the formulas of the published code in float64."""

import numpy as np
import pytest
import torch

from clusca_ext import SpeCaSchedule
from clusca_ext.changes import MEASURES, measured


def relative(x, full):
    return np.abs(x - full) / (np.abs(full) + 1e-10)


PUBLISHED = {  # SpeCa's l1, l2, relative_l1, relative_l2, cosine_similarity
    "mean_l1": lambda x, full: np.abs(x - full).mean(),
    "mean_l2": lambda x, full: np.sqrt(np.mean((x - full) ** 2)),
    "mean_relative_l1": lambda x, full: relative(x, full).mean(),
    "mean_relative_l2": lambda x, full: np.sqrt(np.mean(relative(x, full) ** 2)),
    "cosine": lambda x, full: 1 - x @ full / (np.linalg.norm(x) * np.linalg.norm(full)),
    "relative_l1": lambda x, full: np.abs(x - full).sum() / np.abs(full).sum(),  # TeaCache's
    "relative_l2": lambda x, full: np.linalg.norm(x - full) / np.linalg.norm(full),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", MEASURES)
def test_changes_are_measured_as_published(name, dtype):
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 1, 40, 24, generator=draw).to(dtype)
    expected = PUBLISHED[name](*(each.double().flatten().numpy() for each in (a, b)))
    got = measured(name, a, b)
    assert got.shape == () and got.dtype == torch.float32
    assert got.item() == pytest.approx(expected, rel=1e-4)


def test_schedules_know_them_all():
    assert set(MEASURES) == set(PUBLISHED)
    for name in MEASURES:
        assert SpeCaSchedule(error=name).signal.measure == name
