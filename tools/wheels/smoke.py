"""Use an installed wheel: ENVIRONMENT/bin/python smoke.py VARIANT, away from the checkout.

Operators are checked against plain torch; an embedded model draws a digit with a cache. Needs torch
and what the wheel depends on, no GPU.
"""

import sys
from pathlib import Path

import torch

import clusca_ext
from clusca_ext.demo.pipeline import load_digits


def check_origin(variant: str) -> None:
    """What is used is what was installed, for this Python."""
    assert "site-packages" in clusca_ext.__file__, clusca_ext.__file__
    info = clusca_ext.build_info()
    assert clusca_ext.__version__ == info.version
    assert info.version.endswith(f"+{variant}"), info.version
    assert not info.note, info.note
    assert bool(info.cuda) == (variant != "cpu"), info.cuda
    print(info)


def check_operators() -> None:
    """One operator of every kind: forecast, clusters, representatives, propagation."""
    torch.manual_seed(0)
    factors = torch.randn(2, 1, 12, 8)
    forecast = clusca_ext.ops.taylor_forecast(factors, 2.0)
    torch.testing.assert_close(forecast, factors[0] + 2 * factors[1])
    ids, *_ = clusca_ext.ops.kmeans_fit(factors[0], factors[0, :, :3].contiguous())
    tokens = clusca_ext.ops.select_representatives(ids, 3, torch.tensor([0, 1]))
    rows, _ = clusca_ext.ops.gather_representatives(factors[0], tokens)
    given = (forecast, rows, tokens, ids, 0.1)
    torch.testing.assert_close(
        clusca_ext.ops.cluster_propagate(*given), clusca_ext.reference.cluster_propagate(*given)
    )


def check_model() -> None:
    """The embedded model draws the same digit with a cache, nearly."""
    pipe = load_digits()
    noise = {"num_inference_steps": 20, "seeds": [3]}
    full = pipe([7], **noise)
    config = clusca_ext.ClusCaConfig(schedule=clusca_ext.EvenSchedule(interval=2))
    with clusca_ext.cache(pipe, config):
        cached = pipe([7], **noise)
        summary = clusca_ext.summary(pipe)
    assert summary.cached > 0, summary
    error = (full - cached).abs().mean().item()
    assert 0 < error < 0.1, error
    print(f"{summary.full} full and {summary.cached} cached steps; mean difference {error:.4f}")


def main() -> None:
    check_origin(sys.argv[1])
    check_operators()
    check_model()
    print(f"{Path(sys.executable).parents[1].name}: works")


if __name__ == "__main__":
    main()
