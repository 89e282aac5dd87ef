"""Which run, which of its steps and which branch of guidance a call of the model is.

``counting.py`` finds where runs begin and counts their steps: by a pipeline's scheduler
(``pipelines.py``), by timesteps given beforehand, by what the cache context around a call says
(``context.py``), or by how timesteps go on (``course.py``). ``callers.py`` finds the branch, at
last by what the model is given (``conditions.py``; ``inputs.py`` has the words for that).
``telling.py`` picks among these for a pipeline and for a bare model.
"""
