"""The demonstration as a document for ``clusca report``."""

import torch

from clusca_ext.demo.comparison import Comparison
from clusca_ext.demo.run import Result
from clusca_ext.recording import Document, Recording, pictures_of
from clusca_ext.recording.origin import origin


def document_of(comparison: Comparison, device: str) -> Document:
    """What was drawn, of every row of the table.

    Args:
        comparison: The demonstration, recorded.
        device: Where it ran.

    Raises:
        ValueError: It was not recorded.
    """
    first = comparison.results[0]
    return Document(
        kind="demo",
        title=comparison.title,
        runs=[_recording(result, first) for result in comparison.results],
        notes=comparison.notes,
        origin=origin(torch.device(device)),
    )


def _recording(result: Result, first: Result) -> Recording:
    sampled = result.sampled
    if sampled.recorder is None:
        raise ValueError("the demonstration must be recorded, got a row without a recorder")
    errors = None
    if result is not first:  # of values in [0, 1], before they are rounded to pixels
        difference = (sampled.images - first.sampled.images) / 2
        errors = difference.square().flatten(1).mean(1).tolist()
    return sampled.recorder.recording(pictures_of(sampled.images), squared_error=errors)
