"""Rows of settings that the embedded digits model draws, for benches that compare pictures.

A row says steps, counted operations, times and the PSNR of every sample; it is written as it is
measured, and one of the same sources and weights is not measured again. ``clusca_ext.lab.rows``
says how. Pin it to one core (OMP_NUM_THREADS=1 taskset -c 0): of a busy one no times are shown.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.progress import Progress

from clusca_ext import ClusCaConfig
from clusca_ext.demo.allocator import keep_freed_memory
from clusca_ext.demo.pipeline import DigitsPipeline
from clusca_ext.lab.full import FullSampler
from clusca_ext.lab.models import MODELS, PipelineModel
from clusca_ext.lab.operations import Operations
from clusca_ext.lab.rows import Plan, Rows
from clusca_ext.origin import origin
from results import BENCH, FOLDER, KEY, Recorder, machine, read

BATCH, COUNTED = 32, 2  # samples of a run, and those whose operations are counted
Key = dict[str, str]


def key_of(bench: str, impl: str, samples: int, steps: int) -> Key:
    """What a row is found by, with the device."""
    shape = f"digits-demo B{samples}, DDIM {steps} steps"
    return {"bench": bench, "shape": shape, "dtype": "float32", "impl": impl}


def threads_of(rows: Iterable[dict]) -> str:
    """Threads that rows were drawn with, in words."""
    return f"threads: {', '.join(map(str, sorted({row['threads'] for row in rows})))}"


def record(
    pipeline: DigitsPipeline,
    todo: Sequence[tuple[Key, Callable[[], tuple[ClusCaConfig, dict[str, Any]]]]],
    samples: int,
    steps: int,
    limit: float,
) -> None:
    """Measure what is missing, into bench/results/<machine>-<bench>.json.

    Args:
        pipeline: The model's.
        todo: Of every setting its key, and what makes its configuration and more for its row.
        samples: Seeds 0, 1, 2 and so on.
        steps: Of the sampler.
        limit: Seconds after which no setting is begun.
    """
    keep_freed_memory()
    bench = todo[0][0]["bench"]
    model = PipelineModel("digits", pipeline, MODELS["digits"], steps)
    who, plan = origin(model.device), Plan(samples, BATCH)
    full = FullSampler(model, BENCH.parent / "build" / bench / "full.safetensors", who)
    operations = Operations(model, range(COUNTED))
    recorder = Recorder(FOLDER / f"{machine()}-{bench}.json")
    known = {
        tuple(row[name] for name in KEY)
        for row in read(recorder.path)
        if (row["sources"], row.get("weights")) == (who["sources"], model.weights)
    }
    batches, end = len(list(plan.batches())), time.monotonic() + limit
    with Progress() as progress:
        task = progress.add_task(bench, total=len(todo) * batches)
        rows = Rows(model, plan, full, operations, who["commit"], lambda: progress.advance(task))
        for done, (key, make) in enumerate(todo):
            progress.update(task, completed=done * batches)
            if (*key.values(), recorder.origin["device"]) in known:
                continue
            if time.monotonic() > end:
                print("the limit was reached: run it again for the rest")
                break
            config, more = make()
            numbers = rows.measured(config)
            of = {"sources": who["sources"], "weights": model.weights}
            recorder.record(**key, **more, **of, **numbers)
            mean = sum(numbers["psnr_db"]) / samples
            progress.print(f"{key['impl']}: {mean:.2f} dB")
