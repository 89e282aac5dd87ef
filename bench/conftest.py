"""Runs every case of bench_*.py through every implementation, and records the medians."""

import pathlib

import pytest
import torch

from clusca_ext.demo.allocator import keep_freed_memory
from implementations import AVAILABLE, Work
from results import FOLDER, Recorder, machine
from timing import CACHES, DEVICE, before_round, now, rounds_for


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="few rounds, small shapes, no results")
    parser.addoption("--results", type=pathlib.Path, help="default: results/<machine>.json")


def pytest_configure(config):
    keep_freed_memory()
    torch.set_grad_enabled(False)


def pytest_generate_tests(metafunc):
    quick = metafunc.config.getoption("quick")
    # On a GPU k-means is bound by memory; a float32 product there says nothing.
    roofs = ("gemm",) if DEVICE == "cpu" and "kmeans" in metafunc.module.__name__ else ()
    runs = [
        pytest.param(case, impl, cache, id=f"{case.label}-{cache}-{impl}")
        for case in metafunc.module.CASES
        if case.quick or not quick
        for impl in (*AVAILABLE, *roofs)
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
    return Recorder(pytestconfig.getoption("results") or path)


@pytest.fixture
def measure(request, benchmark, recorder, case, impl, cache):
    """Times one implementation of the ``Work`` it is given."""
    quick = request.config.getoption("quick")
    bench = request.module.__name__.removeprefix("bench_")

    def run(*args, **kwargs):
        work = Work(*args, **kwargs)
        call = work.call(impl, case)
        rounds, setup = rounds_for(call, quick), before_round(cache, call)
        benchmark.group = f"{bench} {case.shape} {cache} {case.dtype_name}"
        benchmark.pedantic(call, setup=setup, rounds=rounds, warmup_rounds=1)
        median = benchmark.stats.stats.median
        recorder.record(
            bench=bench,
            shape=f"{case.shape} {cache}",
            dtype=case.dtype_name,
            impl=impl,
            median_us=round(median * 1e6, 2),
            gbps=round(work.bytes_moved * work.passes / median / 1e9, 2),
        )

    return run
