"""What the page shows of a document, as values that JSON holds."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from clusca_ext.recording import Document, Recording
from clusca_ext.report import pareto, roofline, rows
from clusca_ext.report.speed import seconds_of

TITLES = {"run": "A run", "demo": "The demonstration", "bench": "A benchmark"}


def view(document: Document, more: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """All of it.

    Args:
        document: What was recorded.
        more: Rows of benchmarks from other files.

    Raises:
        ValueError: Rows are not as the package writes them.
    """
    every = [*document.rows, *more]
    return {
        "title": document.title,
        "kind": TITLES[document.kind],
        "origin": document.origin,
        "notes": list(document.notes),
        "runs": [_run(document.runs[0], each) for each in document.runs],
        "pareto": pareto.groups(document.runs, every),
        "roofline": roofline.groups(every),
        "tables": rows.tables(every),
    }


def _run(reference: Recording, run: Recording) -> dict[str, Any]:
    both = seconds_of(reference, run)
    psnr = run.psnr_db
    finite = [value for value in psnr or () if math.isfinite(value)]
    kinds = [step.kind for step in run.steps]
    cached = {kind: size for kind, size in run.memory.items() if not _is_apart(kind)}
    return {
        "name": run.name,
        "steps": [[step.kind, step.seconds * 1000, list(step.by_sample)] for step in run.steps],
        "counts": {kind: kinds.count(kind) for kind in ("full", "cached", "partial")},
        "seconds": None if both is None else both[1],
        "recorded": both is None or both[1] != run.unrecorded_seconds,
        "cost": run.cost_seconds,
        "speedup": None if both is None or run is reference else both[0] / both[1],
        "pictures": list(run.pictures),
        # JSON has no infinity: a picture that is the same has null.
        "psnr": None
        if psnr is None
        else [value if math.isfinite(value) else None for value in psnr],
        "psnrMean": sum(finite) / len(finite) if finite else None,
        "same": bool(psnr) and not finite,
        "memory": sorted(run.memory.items(), key=lambda item: -item[1]),
        "cacheBytes": sum(cached.values()) if run.config is not None else None,
        "maps": None if run.maps is None else run.to_dict()["maps"],
        "features": None if run.features is None else run.to_dict()["features"],
        "gates": None if run.gates is None else run.to_dict()["gates"],
        "summary": list((run.summary or {}).items()),
        "config": None if run.config is None else json.dumps(run.config, indent=2),
        "missing": list(run.missing.items()),
    }


def _is_apart(kind: str) -> bool:
    """Memory that is not the cache's."""
    return kind in ("model weights", "peak on the device")
