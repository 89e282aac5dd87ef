"""What every operator launches on CUDA, and what a cached step calls: docs/launches.md.

The operators' host code is that of libclusca_cuda.so; it runs on a CPU here, on a runtime that
remembers what is launched and launches nothing (launches/record.py). So this shows which kernels
run and how many, of every call; not what they compute, which tests/test_every_kernel.py compares on
a GPU, where it also sees the launches themselves.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from cached_steps import CONFIGS, MODELS, calls_of_steps
from clusca_ext.ops._dispatch import OPS
from kernel_names import LIBRARY, mangled_names, short_names

HERE = Path(__file__).parent
DOCS = (HERE.parent / "docs/launches.md").read_text()
FIRST, NEXT = 3, 4  # two cached steps after the second full step; the others repeat the next


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    if not LIBRARY.exists():
        pytest.skip("libclusca_cuda.so was not built")
    if torch.version.cuda is not None:
        pytest.skip("stand-ins for CUDA's libraries load on a torch without CUDA only")
    missing = [name for name in ("gcc", "nm", "readelf", "c++filt") if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    command = [sys.executable, HERE / "launches/record.py", tmp_path_factory.mktemp("launches")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_selection_launches_every_kernel(recorded):
    """Every instantiation in the library, or its cases do not hold it: tests/kernel_cases.py."""
    launched = {kernel for each in recorded["cases"].values() for kernel in each}
    assert len(recorded["kernels"]) > 100
    assert sorted(set(recorded["kernels"]) - launched) == []


def test_the_librarys_bytes_name_its_kernels(recorded):
    """What a GPU's launches are compared with, where no stand-in says what is registered."""
    assert set(short_names(mangled_names())) == set(recorded["kernels"])


def without_tile(kernel):
    """An assignment has more tokens in a block where there are many."""
    kernel = re.sub(r"(kmeans_assign_kernel<.*\(Metric\)\d), \d", r"\1", kernel)
    return re.sub(r"(kmeans_matrix_kernel<.*)Tile<\d+, (\d+), \d+>", r"\1Tile<\2>", kernel)


def words(counts):
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def plain(kernels):
    return Counter(re.sub("(_kernel)?(<.*)?$", "", each) for each in kernels)


def table(heading):
    """The rows of a section's table, without the two above them."""
    section = DOCS.partition(f"{heading}\n")[2].split("\n## ")[0]
    return re.search(r"(^\|.*\|\n)+", section, re.MULTILINE)[0].splitlines()[2:]


def row(*cells):
    return f"| {' | '.join(map(str, cells))} |"


def test_launches_of_operators(recorded):
    """The table in docs/launches.md, which is right for both overloads of an operator."""
    samples, expected = recorded["samples"], []
    for name in OPS:
        if name.endswith(".tensor"):
            assert samples[name] == samples[name.partition(".")[0]]
        else:
            label = f"`{name}`" + ", 3 iterations" * (name == "kmeans_fit")
            expected.append(row(label, len(samples[name]), words(plain(samples[name]))))
    assert table("## An operator") == expected


def test_launches_of_named_kernels(recorded):
    """The second table."""
    expected = {
        row(f"`{name.split('-')[0]}`", kernel, len(found), words(plain(found)))
        for name, found in recorded["cases"].items()
        for kernel in re.findall(r"-kernel([a-z]+)", name)
    }
    assert set(table("### Kernels that are named")) == expected


def test_every_iteration_launches_the_same(recorded):
    fits = [Counter(each) for each in recorded["fits"]]
    iteration = fits[1] - fits[0]
    for count, fit in enumerate(fits):
        assert fit - fits[0] == Counter({name: count * each for name, each in iteration.items()})


def test_more_than_2_to_the_31_elements_are_launched(recorded):
    """The same kernels, in grids and blocks that CUDA allows."""
    assert len(recorded["huge"]) > 30
    for few, huge in recorded["huge"]:
        assert [without_tile(name) for name in few] == [without_tile(name) for name in huge]


def test_more_modules_than_one_launch_takes(recorded):
    assert [len(each) for each in recorded["many"]] == [1, 2, 1, 2]


@pytest.fixture(scope="module")
def launches():
    """Of every operator, as the table says."""
    rows = [re.match(r"\| `(\w+)`.*? \| (\d+) \|", row) for row in table("## An operator")]
    return {row[1]: int(row[2]) for row in rows}


@pytest.fixture(scope="module")
def steps():
    return {
        (model, config): calls_of_steps(model, config) for model in MODELS for config in CONFIGS
    }


def test_calls_of_a_cached_step(steps, launches):
    """The table in docs/launches.md."""
    expected = []
    for (model, config), calls in steps.items():
        for step, which in ((FIRST, "first"), (NEXT, "next")):
            ours, torchs = calls.ours[step], calls.torchs[step]
            count = sum(launches[name] * each for name, each in ours.items())
            expected.append(row(model, config, which, count, words(ours), words(torchs)))
    assert table("## A cached step") == expected


def test_launches_of_a_cached_step_are_those_of_its_calls(steps, launches, recorded):
    for (model, config), calls in steps.items():
        for step in (FIRST, NEXT):
            count = sum(launches[name] * each for name, each in calls.ours[step].items())
            assert recorded["steps"][f"{model} {config}"][step] == count
