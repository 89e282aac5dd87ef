"""What a run did, as a JSON document: for ``clusca report``, and for whoever reads it.

``recorder.py`` looks at a run; ``recording.py`` is what it has seen of one, ``document.py`` a file
of several, beside rows of a benchmark. ``limits.py`` says how much is kept.
"""

from clusca_ext.recording.document import Document
from clusca_ext.recording.pictures import pictures_of, squared_errors
from clusca_ext.recording.recorder import Recorder
from clusca_ext.recording.recording import Drift, MapOfStep, Maps, Recording, Step

__all__ = [
    "Document",
    "Drift",
    "MapOfStep",
    "Maps",
    "Recorder",
    "Recording",
    "Step",
    "pictures_of",
    "squared_errors",
]
