"""A whole cached step as one CUDA graph.

What a cached step runs on the device is the same at every step: only small tensors differ, which
say what this step takes of what is cached. So the model's forward is captured once, with copies of
these in its place, and replayed: the host then copies, and launches once. ``forward.py`` stands in
for the model's forward, ``steps.py`` decides, ``reads.py`` knows what executors read, ``values.py``
finds the tensors in a model's inputs, ``copies.py`` keeps those that change, ``captured.py`` is one
graph, ``weights.py`` knows when another is needed, ``cuda.py`` captures.

The tests capture on a GPU and, where there is none, by a stand-in on the CPU.
"""
