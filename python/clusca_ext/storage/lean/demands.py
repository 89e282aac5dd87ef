"""What lean storage demands of the other parts of a configuration."""

from clusca_ext.correction import Corrector, NoCorrection, require_summable
from clusca_ext.forecast import Forecaster, FrequencyForecaster
from clusca_ext.storage.lean.description import LeanStorage


def require_lean(storage: LeanStorage, forecaster: Forecaster, corrector: Corrector) -> None:
    """Raise where they do not go together."""
    require_summable(corrector)
    if isinstance(forecaster, FrequencyForecaster):
        _require_filtered(storage, corrector)


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
