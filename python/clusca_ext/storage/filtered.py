"""Which low frequencies a run reuses."""

from clusca_ext.forecast import Forecaster, FrequencyForecaster
from clusca_ext.storage.low_band import LowBand
from clusca_ext.storage.run import Run


def low_band_of(forecaster: Forecaster, run: Run) -> LowBand | None:
    """What older outputs or sums of a run take of the last; None: nothing.

    Raises:
        ValueError: The forecaster splits frequencies, and the run's streams are not one grid.
    """
    if not isinstance(forecaster, FrequencyForecaster):
        return None
    description, args, kwargs = run.description, run.args, run.kwargs
    name = type(description.model).__name__
    if description.by_token(args, kwargs):
        raise ValueError(
            "FrequencyForecaster must not be used where modulation differs by token, got such "
            f"inputs of {name}"
        )
    band = LowBand(forecaster.low_band, description.sides(args, kwargs), run.like.device)
    lengths = {N for _, N, _ in run.shapes or ()}
    if len(lengths) > 1:
        raise ValueError(
            "FrequencyForecaster needs all blocks' streams to be of the same tokens, got some with "
            f"text beside them in {name}: {sorted(lengths)} tokens"
        )
    for N in lengths:
        band.require(N)
    return band
