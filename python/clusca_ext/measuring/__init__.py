"""How operators and models are measured: by ``clusca bench``, and by this project's ``bench/``.

``shapes.py`` says where, ``inputs.py`` makes the tensors, ``operators/`` has a file an operator:
what ours is compared with; ``work.py`` how that is called, ``timing.py`` how it is timed,
``rows.py`` where the numbers go. ``models.py`` has models of real size, ``operations.py`` counts
what they compute.
"""
