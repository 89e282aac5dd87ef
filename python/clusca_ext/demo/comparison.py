"""The demo put together: every row sampled and judged, what is said of it, and the picture."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image
from rich.progress import Progress

from clusca_ext.demo.flops import flops_ratio
from clusca_ext.demo.frames import cluster_frames
from clusca_ext.demo.picture import draw
from clusca_ext.demo.pipeline import NUM_CLASSES, DigitsPipeline, load_digits
from clusca_ext.demo.rows import DEFAULT, FULL, Row, rows_of
from clusca_ext.demo.run import Result, judge, sample


@dataclass(frozen=True)
class Comparison:
    """What ``clusca demo`` shows.

    Attributes:
        title: Model, sampler and machine.
        results: One a row, in the table's order.
        notes: Sentences below the table.
        picture: The grids and the clusters.
    """

    title: str
    results: tuple[Result, ...]
    notes: tuple[str, ...]
    picture: Image.Image


def compare(
    samples: int,
    steps: int,
    intervals: Sequence[int],
    device: str,
    progress: Progress,
    repeats: int = 1,
    records: bool = False,
) -> Comparison:
    """Draw the same digits by every row; sample i is the digit i mod 10.

    With ``repeats`` all rows are drawn in turn so often, and seconds are the medians. With
    ``records`` each is recorded, which is part of its seconds.
    """
    pipeline = load_digits().to(device)
    pipeline.set_progress_bar_config(disable=True)
    labels = [i % NUM_CLASSES for i in range(samples)]
    rows = [Row(FULL, 0, steps, None)]
    for interval in intervals:
        rows += rows_of(interval, steps)
    task = progress.add_task("warming up", total=repeats * sum(row.steps for row in rows))
    sample(pipeline, Row(FULL, 0, 2, None), labels, lambda: None)
    runs = []
    for _ in range(repeats):
        for row in rows:
            progress.update(task, description=str(row))
            runs.append(sample(pipeline, row, labels, lambda: progress.advance(task), records))
    everything = [
        replace(runs[i], seconds=statistics.median(run.seconds for run in runs[i :: len(rows)]))
        for i in range(len(rows))
    ]
    progress.update(task, description="clusters and counts")
    results = judge(everything, labels)
    by_default = [result for result in results if result.sampled.row.name == DEFAULT]
    frames = cluster_frames(pipeline, by_default[-1].sampled.row, digit=labels[0], seed=0)
    parameters = sum(p.numel() for p in pipeline.transformer.parameters()) / 1e6
    return Comparison(
        title=f"DiT, {parameters:.1f} M parameters; {samples} digits, DDIM {steps} steps, {device}",
        results=tuple(results),
        notes=tuple(_flops_note(pipeline, result) for result in by_default),
        picture=draw(results, frames),
    )


def _flops_note(pipeline: DigitsPipeline, result: Result) -> str:
    row = result.sampled.row
    counted = flops_ratio(pipeline, result.sampled)
    return (
        f"{row.name}, interval {row.interval}: {counted:.2f}x fewer operations counted, "
        f"{result.speedup:.2f}x faster, {result.speedup / counted:.2f} of it."
    )
