"""The laboratory: which method, interval and order is best, measured and written down.

``methods.py`` and ``models.py`` have one entry for each method and model, made of ``parts.py``;
``fitted.py`` has what was fitted to one model. ``runner.py`` measures a grid of them, ``tables.py``
and ``plots.py`` show it; ``calibrate.py`` searches for one target.
"""
