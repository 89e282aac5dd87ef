"""TIME: from a module's past outputs to a prediction. A forecaster is its weights.

``forecaster.py`` says what one is; ``outputs.py`` turns what it says into what is taken of kept
outputs, or of finite differences. One file holds those of a kind.
"""

from clusca_ext.forecast.damped import DampedForecaster
from clusca_ext.forecast.forecaster import (
    MAX_ORDER,
    Forecaster,
    OfDifferences,
    OfOutputs,
    require_forecaster,
)
from clusca_ext.forecast.frequency import FrequencyForecaster
from clusca_ext.forecast.hermite import HermiteForecaster, SpacedHermiteForecaster
from clusca_ext.forecast.newton import NewtonForecaster
from clusca_ext.forecast.outputs import differences, shares_of, weights_of
from clusca_ext.forecast.taylor import ReuseForecaster, TaylorForecaster

__all__ = [
    "MAX_ORDER",
    "DampedForecaster",
    "Forecaster",
    "FrequencyForecaster",
    "HermiteForecaster",
    "NewtonForecaster",
    "OfDifferences",
    "OfOutputs",
    "ReuseForecaster",
    "SpacedHermiteForecaster",
    "TaylorForecaster",
    "differences",
    "require_forecaster",
    "shares_of",
    "weights_of",
]
