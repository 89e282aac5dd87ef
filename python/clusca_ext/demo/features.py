"""How far pictures are apart in the eyes of a network: feature distance and Frechet distance.

The networks were trained on real data only and know nothing of the generators. Their scales are
their own: figures compare with others of the same network, not with published LPIPS or FID.
"""

import pathlib
from collections.abc import Callable
from functools import partial

import torch
from safetensors.torch import load_file
from torch import Tensor

from clusca_ext.demo import picture_pipeline, pipeline
from clusca_ext.demo.crop_network import CropNetwork
from clusca_ext.demo.judge import Classifier

DIRECTIONS = 24


class Features:
    """Distances in the feature maps of one network.

    Args:
        maps: The network: from images [B, C, H, W] to its feature maps, one tensor a layer, each
            [B, D, h, w]; the last one's mean over positions is what the Frechet distance sees.
        directions: Principal directions of that mean on real data, one a row. [24, D]
    """

    def __init__(self, maps: Callable[[Tensor], list[Tensor]], directions: Tensor) -> None:
        self._maps = maps
        self._directions = directions

    def distance(self, images: Tensor, reference: Tensor) -> Tensor:
        """LPIPS without learned weights (Zhang et al., 2018, equation 1).

        Features are normalised to unit length over channels; their squared difference is summed
        over channels, averaged over positions, then over layers. Equal images have distance 0,
        features at right angles 2.

        Args:
            images: Values in [-1, 1]. [B, C, H, W]
            reference: What each of them is compared with, of the same shape.

        Returns:
            The distance of each pair. [B]

        Raises:
            ValueError: The shapes differ.
        """
        if images.shape != reference.shape:
            got, demand = list(images.shape), list(reference.shape)
            raise ValueError(f"images must have the shape of reference, {demand}, got {got}")
        layers = []
        for ours, theirs in zip(self._seen(images), self._seen(reference), strict=True):
            difference = _unit(ours) - _unit(theirs)
            layers.append(difference.square().sum(1).flatten(1).mean(1))
        return torch.stack(layers).mean(0)

    def frechet(self, images: Tensor, reference: Tensor) -> float:
        """Frechet distance of two sets of images, as FID (Heusel et al., 2017, equation 6).

        Of pooled features, along the first 24 principal directions of real data: with as few
        images as a CPU can draw, covariances of all channels would be mostly noise. The distance
        is biased upwards in small sets; compare sets of one size.

        Args:
            images: Values in [-1, 1]. [B, C, H, W], B at least 2
            reference: Values in [-1, 1]. [M, C, H, W], M at least 2

        Raises:
            ValueError: A set of fewer than two images.
        """
        for name, given in (("images", images), ("reference", reference)):
            if len(given) < 2:
                raise ValueError(f"{name} must be at least 2 images, got {len(given)}")
        ours, theirs = (self.pooled(given) @ self._directions.T for given in (images, reference))
        return frechet_distance(*moments(ours), *moments(theirs))

    def pooled(self, images: Tensor) -> Tensor:
        """The last layer's mean over positions. [B, D]"""
        return self._seen(images)[-1].flatten(2).mean(2)

    @torch.no_grad()
    def _seen(self, images: Tensor) -> list[Tensor]:
        return self._maps(images.float().cpu())


def _unit(features: Tensor) -> Tensor:
    """Unit length over channels; where all are zero they stay so."""
    length = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    unit: Tensor = features / length.clamp(min=1e-8)
    return unit


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D] of rows [B, D], in float64."""
    rows = features.double()
    return rows.mean(0), torch.atleast_2d(rows.T.cov())


def frechet_distance(mean: Tensor, covariance: Tensor, mean2: Tensor, covariance2: Tensor) -> float:
    """Squared Frechet distance of two Gaussians (Dowson and Landau, 1982).

    ``|m - m2|^2 + tr(C + C2 - 2 (C C2)^(1/2))``, where the trace of the root is the sum of the
    singular values of ``C^(1/2) C2^(1/2)``.

    Args:
        mean: [D]
        covariance: Symmetric, without negative eigenvalues. [D, D]
        mean2: [D]
        covariance2: As the first. [D, D]
    """
    shared = torch.linalg.svdvals(_root(covariance) @ _root(covariance2)).sum()
    spread = covariance.trace() + covariance2.trace() - 2 * shared
    total = float((mean - mean2).square().sum() + spread)
    return max(total, 0.0)  # rounding may leave a negative number where the sets are equal


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root


def principal_directions(features: Tensor, count: int = DIRECTIONS) -> Tensor:
    """The directions of largest variance of rows [B, D], one a row. [count, D]"""
    _, covariance = moments(features)
    vectors: Tensor = torch.linalg.eigh(covariance)[1]  # in ascending order of variance
    return vectors.flip(1)[:, :count].T.float().contiguous()


def _directions(folder: pathlib.Path) -> Tensor:
    path = folder / "directions.safetensors"
    try:
        return load_file(path)["directions"]
    except Exception as error:  # safetensors raises many kinds
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"{path} must hold directions [{DIRECTIONS}, D]: {reason}") from error


def digit_features(folder: pathlib.Path = pipeline.FOLDER) -> Features:
    """Of the digits' ``Classifier``: its hidden layer, in which an image has one position.

    Raises:
        ValueError: The folder does not hold the classifier and directions, or they are damaged.
    """
    return Features(partial(digit_maps, Classifier(folder)), _directions(folder))


def digit_maps(classifier: Classifier, images: Tensor) -> list[Tensor]:
    """The hidden layer as a feature map of one position. [B, 1, 32, 32] to [B, 128, 1, 1]"""
    return [classifier.hidden(images)[:, :, None, None]]


def picture_features(folder: pathlib.Path = picture_pipeline.FOLDER) -> Features:
    """Of the network that tells crops of pictures apart: four layers, from fine to coarse.

    Raises:
        ValueError: The folder does not hold the network and directions, or they are damaged.
    """
    return Features(CropNetwork(folder).maps, _directions(folder))
