"""Which low frequencies a run reuses."""

from clusca_ext.adapters import ranks
from clusca_ext.forecast import Forecaster, FrequencyForecaster
from clusca_ext.storage.low_band import LowBand
from clusca_ext.storage.run import Run


def low_band_of(forecaster: Forecaster, run: Run) -> LowBand | None:
    """What older outputs or sums of a run take of the last; None: nothing.

    Raises:
        ValueError: The forecaster splits frequencies, and where the grid lies in the run's streams
            is not known.
    """
    if not isinstance(forecaster, FrequencyForecaster):
        return None
    description, args, kwargs = run.description, run.args, run.kwargs
    if description.by_token(args, kwargs):
        raise ValueError(
            "FrequencyForecaster must not be used where modulation differs by token, got such "
            f"inputs of {type(description.model).__name__}"
        )
    grid = description.sides(args, kwargs)
    band = LowBand(forecaster.low_band, grid, run.like.device)
    front, behind = description.around(args, kwargs)
    shared = ranks.group_of(description.model) is not None
    if not grid and not shared:
        raise ValueError(
            "FrequencyForecaster needs the grid of tokens, which the inputs of "
            f"{type(description.model).__name__} do not tell, got {front} tokens in front of it "
            f"and {behind} behind"
        )
    if run.shapes is not None:
        alone = not (front or behind or any(b.beside(args, kwargs) for b in description.blocks))
        if not alone and shared:
            raise ValueError(
                "FrequencyForecaster must not be used where ranks share streams that hold text or "
                f"given images, got such inputs of {type(description.model).__name__}"
            )
        for block, (_, N, _) in zip(description.blocks, run.shapes, strict=True):
            band.place(N, front + block.beside(args, kwargs), behind)
    return band
