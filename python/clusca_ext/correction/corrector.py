"""What a configuration may have for a corrector."""

from dataclasses import dataclass

from clusca_ext.correction.clusters import ClusterCorrector
from clusca_ext.correction.selection import RandomPerLayer
from clusca_ext.correction.tokens import TokenCorrector


@dataclass(frozen=True, kw_only=True)
class NoCorrection:
    """Every token is forecast."""

    computes = False


Corrector = NoCorrection | ClusterCorrector | TokenCorrector


def delta_only(corrector: Corrector) -> bool:
    """Whether what tokens learn, if anything, can be summed over modules."""
    if isinstance(corrector, NoCorrection):
        return True
    if isinstance(corrector, TokenCorrector):
        return corrector.rule == "delta"
    return corrector.rule == "delta" and bool(getattr(corrector.selection, "of_members", False))


def require_summable(corrector: Corrector) -> None:
    """Lean storage sums what clusters learn over modules, from tokens chosen before.

    Raises:
        ValueError: That is not possible with this corrector.
    """
    if isinstance(corrector, NoCorrection):
        return
    if isinstance(corrector, TokenCorrector):
        raise ValueError(
            "corrector must be a ClusterCorrector or NoCorrection where storage is lean, for which "
            "tokens are chosen full steps ahead, when no score is known of them yet; got "
            f"{corrector!r}"
        )
    if corrector.rule != "delta":
        raise ValueError(
            'corrector must have rule="delta" where storage is lean, which keeps no module\'s own '
            f"forecast, got rule={corrector.rule!r}, persistent={corrector.persistent!r}"
        )
    selection = corrector.selection
    if isinstance(selection, RandomPerLayer) or not getattr(selection, "of_members", False):
        raise ValueError(
            "corrector must select members of clusters, one set for all modules, where storage is "
            f"lean, got selection={selection!r}"
        )
