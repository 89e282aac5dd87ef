"""Documents for the tests of the page: recorded from a small model, and of rows."""

from functools import cache

from clusca_ext import ClusCaConfig, EvenSchedule, method
from clusca_ext.recording import Document, Recorder, pictures_of
from small_dit import make_dit, options, sample

STEPS = 12
ROWS = (
    *(
        {
            "bench": bench,
            "shape": shape,
            "dtype": "float32",
            "impl": impl,
            "median_us": time,
            "device": device,
            "commit": "abc",
        }
        for device in ("a CPU, 2 cores", "a GPU")
        for bench, shape in (("taylor_update", "small"), ("kmeans_fit", "small"))
        for impl, time in (("clusca", 10.0), ("torch", 20.0), ("copy", 8.0), ("gemm", 5.0))
    ),
    *(
        {
            "bench": "demo",
            "shape": "digits, interval 4",
            "impl": name,
            "interval": 4,
            "speedup": speed,
            "psnr_db": [quality, 0.5],
            "device": "a CPU, 2 cores",
        }
        for name, speed, quality in (("a", 3.0, 30.0), ("b", 2.0, 40.0), ("c", 1.5, 35.0))
    ),
    {"bench": "search", "shape": "digits", "over_even_db": [1.5, 0.2], "tries": None},
)


@cache
def recorded():
    """Two samples by the full sampler, by clusters, and with a decision for each sample."""
    model = make_dit()
    even = ClusCaConfig(schedule=EvenSchedule(interval=4, warmup=1))
    configs = {
        "full sampler": None,
        "ClusCa": even,
        "TeaCache": ClusCaConfig(schedule=method("teacache").schedule),
    }
    runs, reference = [], None
    for name, config in configs.items():
        cached = {} if config is None else {"config": config, **options(STEPS)}
        with Recorder(model, name, samples=2, **cached) as recorder:
            pictures = pictures_of(sample(model, STEPS))
        runs.append(recorder.recording(pictures, reference=reference))
        reference = reference or pictures
    notes = ["A note with <b>markup</b>."]
    return Document(kind="run", title="A small DiT", runs=runs, rows=ROWS, notes=notes)
