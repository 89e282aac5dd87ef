"""Feature and Frechet distance: what they are of equal images, of noise, of known Gaussians."""

import shutil

import pytest
import torch

from clusca_ext.demo.crop_network import CropNetwork
from clusca_ext.demo.features import (
    digit_features,
    digit_maps,
    frechet_distance,
    moments,
    picture_features,
    principal_directions,
)
from clusca_ext.demo.judge import Classifier
from judge_digits import digits
from pictures import crops, pictures


def real(kind, count):
    if kind == "digits":
        return digits()[0][:count]
    return crops(pictures(), count, torch.Generator().manual_seed(5))[0]


@pytest.fixture(params=["digits", "pictures"])
def case(request):
    features = digit_features() if request.param == "digits" else picture_features()
    return features, real(request.param, 60)


def test_distance_grows_with_noise(case):
    features, images = case
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    seen = [features.distance((images + s * noise).clamp(-1, 1), images) for s in (0, 0.1, 0.3, 1)]
    assert all(each.shape == (60,) for each in seen)
    assert (seen[0] == 0).all()
    means = [each.mean() for each in seen]
    assert means[0] < means[1] < means[2] < means[3] <= 2


def test_frechet_of_sets(case):
    features, images = case
    assert features.frechet(images, images) == pytest.approx(0, abs=1e-9)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    nearer, farther = (features.frechet(images + s * noise, images) for s in (0.1, 1.0))
    assert 0 < nearer < farther
    assert features.frechet(images[:30], images[30:]) < features.frechet(noise[:30], images[30:])


def test_distance_is_the_mean_over_layers_of_unit_features_differences(case):
    """Written once more, position by position."""
    features, images = case
    ours, theirs = images[:1], images[1:2]
    network = CropNetwork().maps if images.shape[1] == 3 else lambda x: digit_maps(Classifier(), x)
    layers = []
    for a, b in zip(network(ours), network(theirs), strict=True):
        a, b = a[0].flatten(1).T, b[0].flatten(1).T
        at = [
            (x / max(x.norm(), 1e-8) - y / max(y.norm(), 1e-8)).square().sum()
            for x, y in zip(a, b, strict=True)
        ]
        layers.append(sum(at) / len(at))
    expected = sum(layers) / len(layers)
    torch.testing.assert_close(features.distance(ours, theirs), expected[None])


def rotated(values):
    """A covariance of these eigenvalues, along directions that are no axes."""
    generator = torch.Generator().manual_seed(0)
    square = torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)
    turn = torch.linalg.qr(square)[0]
    return turn @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ turn.T


def test_frechet_distance_of_gaussians_that_share_directions():
    """The closed form is then the distance of means and of standard deviations."""
    mean, other = torch.tensor([[0.0, 1, 2], [3.0, 1, 0]], dtype=torch.float64)
    found = frechet_distance(mean, rotated([1.0, 4, 9]), other, rotated([4.0, 4, 0]))
    assert found == pytest.approx(9 + 4 + (1 - 2) ** 2 + 0 + (3 - 0) ** 2)


def test_frechet_distance_of_gaussians_that_share_none():
    """In two dimensions tr (A B)^(1/2) is (tr AB + 2 (det AB)^(1/2))^(1/2)."""
    zero = torch.zeros(2, dtype=torch.float64)
    a = torch.tensor([[2.0, 1], [1, 3]], dtype=torch.float64)
    b = torch.tensor([[1.0, -0.5], [-0.5, 4]], dtype=torch.float64)
    root = ((a @ b).trace() + 2 * torch.linalg.det(a @ b).sqrt()).sqrt()
    expected = (a.trace() + b.trace() - 2 * root).item()
    assert frechet_distance(zero, a, zero, b) == pytest.approx(expected)


def test_moments_and_directions_of_known_rows():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(4000, 3, generator=generator) * torch.tensor([1.0, 3, 0.1]) + 2
    mean, covariance = moments(rows)
    torch.testing.assert_close(mean, torch.full((3,), 2.0).double(), atol=0.15, rtol=0)
    torch.testing.assert_close(
        covariance.diagonal(), torch.tensor([1.0, 9, 0.01]).double(), rtol=0.1, atol=0
    )
    directions = principal_directions(rows, 2)
    expected = torch.tensor([[0.0, 1, 0], [1, 0, 0]])
    torch.testing.assert_close(directions.abs(), expected, atol=0.05, rtol=0)


def test_bad_sets(case):
    features, images = case
    with pytest.raises(ValueError, match=r"images must have the shape of reference, \[2, .*\[3, "):
        features.distance(images[:3], images[:2])
    with pytest.raises(ValueError, match="reference must be at least 2 images, got 1"):
        features.frechet(images, images[:1])


@pytest.mark.parametrize("of", [digit_features, picture_features])
def test_directions_that_are_missing(of, tmp_path):
    folder = of.__defaults__[0]
    shutil.copy(folder / "classifier.safetensors", tmp_path)
    path = tmp_path / "directions.safetensors"
    with pytest.raises(ValueError, match=f"^{path} must hold directions .24, D.: FileNotFound"):
        of(tmp_path)
