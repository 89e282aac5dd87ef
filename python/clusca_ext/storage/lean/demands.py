"""What lean storage demands of the other parts of a configuration."""

from clusca_ext.correction import ClusterCorrector, Corrector, NoCorrection
from clusca_ext.forecast import Forecaster, FrequencyForecaster
from clusca_ext.selection import RandomPerLayer
from clusca_ext.storage.lean.description import LeanStorage


def require_lean(storage: LeanStorage, forecaster: Forecaster, corrector: Corrector) -> None:
    """Raise where they do not go together."""
    if isinstance(corrector, ClusterCorrector):
        _require_delta(corrector)
    if isinstance(forecaster, FrequencyForecaster):
        _require_filtered(storage, corrector)


def _require_delta(corrector: ClusterCorrector) -> None:
    """Lean storage sums what clusters learn over modules, from tokens chosen before."""
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


def _require_filtered(storage: LeanStorage, corrector: Corrector) -> None:
    """Low frequencies are replaced in sums of all tokens, each of one full step and of gates that
    do not change from one to the next."""
    if storage.basis not in ("gated", "shared-emb") or storage.offload:
        raise ValueError(
            'storage must be "per_block", LeanStorage(basis="gated") or '
            'LeanStorage(basis="shared-emb") with a FrequencyForecaster, without offload, got '
            f"{storage!r}"
        )
    if not isinstance(corrector, NoCorrection):
        raise ValueError(
            "corrector must be NoCorrection() with a FrequencyForecaster in lean storage, whose "
            f"rows of representatives are not split, got {corrector!r}"
        )
