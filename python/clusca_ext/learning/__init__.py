"""LEARNT SCHEDULES: which modules a cached step computes, found by training or by measuring.

``routers.py`` has what is learnt, ``mixing.py`` the model it is learnt on (``recomputing.py``: with
gradient checkpointing), ``pairs.py`` where inputs come from, ``objective.py`` and
``run_objective.py`` what for, ``training.py`` the loop and its checkpoint, ``report.py`` what is
written at the end. ``published.py`` imports the routers that Learning-to-Cache published;
``smooth.py`` and ``calibration.py`` are SmoothCache, ``polynomial.py`` is TeaCache's.
"""

from clusca_ext.learning.calibration import calibrate
from clusca_ext.learning.calls import Call
from clusca_ext.learning.mixing import Mixer
from clusca_ext.learning.objective import Measured, Objective, PairObjective, Price
from clusca_ext.learning.pairs import DataPairs, Pair, Pairs, TrajectoryPairs
from clusca_ext.learning.polynomial import Polynomial, fit_polynomial
from clusca_ext.learning.published import load_dit_routers, load_uvit_routers
from clusca_ext.learning.report import picture_of, write_report
from clusca_ext.learning.routers import Routers
from clusca_ext.learning.run_objective import RunObjective
from clusca_ext.learning.smooth import ErrorCurves
from clusca_ext.learning.training import Training, TrainingSettings

__all__ = [
    "Polynomial",
    "fit_polynomial",
    "Call",
    "DataPairs",
    "ErrorCurves",
    "Measured",
    "Mixer",
    "Objective",
    "Pair",
    "PairObjective",
    "Pairs",
    "Price",
    "Routers",
    "RunObjective",
    "Training",
    "TrainingSettings",
    "TrajectoryPairs",
    "calibrate",
    "load_dit_routers",
    "load_uvit_routers",
    "picture_of",
    "write_report",
]
