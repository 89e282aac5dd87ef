"""Lean storage: sums over all modules, in a few accumulators, instead of every module's outputs.

On a cached step tokens meet only in the representatives, so all others need only what the modules
add up to, ``x_out = x_in + sum_m gate_m(t_s) * forecast_m``. While a full step runs, each module's
output is added to C float32 accumulators, weighted by a temporal basis of the gates; a cached step
is a weighted sum of what full steps have left there (``bases.py`` has the equations).

``description.py`` is what users write, ``store.py`` composes the rest: ``course.py`` knows which
full steps a coming step is made of, ``gates.py`` all gates of a run, ``bases.py`` weights for both
sides, ``sums.py`` and ``rows.py`` hold accumulators and representatives in the memory of
``arena.py``; ``estimate.py`` says beforehand how much that is.
"""
