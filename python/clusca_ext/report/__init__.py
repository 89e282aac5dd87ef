"""``clusca report``: one page of what was recorded, with all it needs within it.

``view.py`` makes what the page shows of a document, ``pareto.py``, ``roofline.py`` and ``rows.py``
of rows of benchmarks; ``page.py`` puts it into the files of ``assets/``.
"""

from clusca_ext.report.page import render

__all__ = ["render"]
