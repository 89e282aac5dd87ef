"""What a correction asks of the parts it is given."""

import pytest
import torch

from clusca_ext import ClusterCorrector
from clusca_ext.correction import Clusters


class FirstTokens:
    """Tokens 0 and 1 for as many layers as it was made for, one after the other."""

    def __init__(self, layers):
        self.layers = layers

    def select(self, clusters, seed, layers):
        return (torch.tensor([[0, 1]], dtype=torch.int32) for _ in range(self.layers))


def clusters_with(selection):
    corrector = ClusterCorrector(num_clusters=2, selection=selection)
    clusters = Clusters(corrector, torch.tensor([0]))
    clusters.fit(torch.randn(1, 6, 4))
    return clusters


def test_a_selection_of_ones_own_is_asked():
    chosen = clusters_with(FirstTokens(3)).select(step=1, layers=3)
    assert [tokens.tolist() for tokens in chosen] == [[[0, 1]]] * 3


@pytest.mark.parametrize("layers", [0, 2, 4])
def test_a_selection_must_serve_every_layer(layers):
    message = f"selection must choose tokens for each of 3 layers, got {layers}"
    with pytest.raises(ValueError, match=message):
        clusters_with(FirstTokens(layers)).select(step=1, layers=3)
