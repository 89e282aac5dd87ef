"""Runs every case of bench_*.py through every implementation, and records the medians."""

import pathlib

import pytest
import torch

from clusca_ext.demo.allocator import keep_freed_memory
from clusca_ext.measuring.timing import CACHES, before_round, now, rounds_for
from clusca_ext.measuring.work import names
from results import FOLDER, NotMeasured, Recorder, machine


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="few rounds, small shapes, no results")
    parser.addoption("--results", type=pathlib.Path, help="default: results/<machine>.json")


def pytest_configure(config):
    config.addinivalue_line("markers", "compared: the cases to which compiled peers belong")
    keep_freed_memory()
    torch.set_grad_enabled(False)


def pytest_generate_tests(metafunc):
    quick = metafunc.config.getoption("quick")
    variants = getattr(metafunc.module, "variants", lambda case: ())
    runs = [
        pytest.param(
            *(case, impl, cache),
            id=f"{case.label}-{cache}-{impl}",
            marks=[pytest.mark.compared] if case.compared else [],
        )
        for case in metafunc.module.CASES
        if case.quick or not quick
        for impl in names(case, variants(case))
        for cache in CACHES
    ]
    metafunc.parametrize(("case", "impl", "cache"), runs)


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.benchmark(timer=now))


@pytest.fixture(scope="session")
def recorder(pytestconfig, tmp_path_factory):
    """Of a quick run only its user, not the project, keeps the numbers."""
    path = FOLDER / f"{machine()}.json"
    if pytestconfig.getoption("quick"):
        path = tmp_path_factory.mktemp("results") / "quick.json"
    recorder = Recorder(pytestconfig.getoption("results") or path, every=1.0)
    yield recorder
    recorder.flush()


@pytest.fixture
def measure(request, benchmark, recorder, case, impl, cache):
    """Times one implementation of the work it is given."""
    quick = request.config.getoption("quick")
    bench = request.module.__name__.removeprefix("bench_")

    def run(work):
        row = {
            "bench": bench,
            "shape": f"{case.shape} {cache}",
            "dtype": case.dtype_name,
            "impl": impl,
        }
        try:
            call = work.call(impl, case)
            rounds, setup = rounds_for(call, quick), before_round(cache, call)
        except NotMeasured as reason:
            recorder.record(**row, note=str(reason))
            pytest.skip(str(reason))
        benchmark.group = f"{bench} {case.shape} {cache} {case.dtype_name}"
        benchmark.pedantic(call, setup=setup, rounds=rounds, warmup_rounds=1)
        median = benchmark.stats.stats.median
        recorder.record(
            **row,
            median_us=round(median * 1e6, 2),
            gbps=round(work.bytes_moved * work.passes / median / 1e9, 2),
        )

    return run
