"""Every operator's equation in plain PyTorch, float32 inside: differentiable, the tests' oracle.

Arguments and results are those of ``clusca_ext.ops``, but for ``kernel``, of which there is one;
mutating operators return the new value instead. Indices out of range behave as there. Sources:
ClusCa (arXiv 2509.10312) for clusters and propagation, TaylorSeer (arXiv 2503.06923) for factors.
"""

from clusca_ext.reference.collapse import (
    carry_representatives_,
    collapse_forecasts_,
    collapsed_residual,
)
from clusca_ext.reference.kmeans import kmeans_assign, kmeans_fit, kmeans_step
from clusca_ext.reference.lean import lean_accumulate_, lean_output
from clusca_ext.reference.propagate import (
    cluster_propagate,
    propagate_factors_,
    propagate_residual_,
)
from clusca_ext.reference.representatives import (
    gather_representatives,
    select_nearest,
    select_representatives,
)
from clusca_ext.reference.taylor import (
    forecast_residual_,
    taylor_forecast,
    taylor_update_,
    taylor_weights,
)

__all__ = [
    "carry_representatives_",
    "cluster_propagate",
    "collapse_forecasts_",
    "collapsed_residual",
    "forecast_residual_",
    "gather_representatives",
    "kmeans_assign",
    "kmeans_fit",
    "kmeans_step",
    "lean_accumulate_",
    "lean_output",
    "propagate_factors_",
    "propagate_residual_",
    "select_nearest",
    "select_representatives",
    "taylor_forecast",
    "taylor_update_",
    "taylor_weights",
]
