"""Typed entry points of ``torch.ops.clusca.*``, the fake kernel of each beside it.

Sizes: ``B`` batch rows, ``N`` tokens, ``K`` clusters, ``D`` channels, ``O`` forecast order. All run
on CPU and CUDA for float32, float16 and bfloat16, compute in float32 and round once, are
deterministic, and read no index value out of bounds. The last dimension of every tensor is dense,
every other stride is free. What is written in place must share no memory with other arguments: that
is not checked. Wrappers raise ``ValueError``, the operators ``RuntimeError``.
"""

from clusca_ext.ops.collapse import (
    carry_representatives_,
    collapse_forecasts_,
    collapsed_residual,
)
from clusca_ext.ops.kmeans import kmeans_assign, kmeans_fit, kmeans_step
from clusca_ext.ops.lean import lean_accumulate_, lean_output
from clusca_ext.ops.propagate import cluster_propagate, propagate_factors_, propagate_residual_
from clusca_ext.ops.representatives import (
    gather_representatives,
    select_nearest,
    select_representatives,
)
from clusca_ext.ops.taylor import forecast_residual_, taylor_forecast, taylor_update_

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
]
