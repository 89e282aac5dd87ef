"""Every instantiation of every CUDA kernel, in few small calls: what the sanitizers run.

Two tests show that the calls launch every kernel of the library: tests/test_launches.py on a CPU,
which asks the library's own host code, and one here, which asks the profiler of a GPU.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clusca_ext.ops._dispatch import OPS
from kernel_cases import CASES, by_case, skip_if_missing
from kernel_names import mangled_names, short_name, short_names
from op_samples import equation, on_tensors, sample, tensors_after, tensors_in, wrapper
from steps import sanitizers

MOST = 200  # calls under compute-sanitizer, which makes them some hundred times slower


@by_case
@pytest.mark.sanitize
def test_the_device_agrees(name, options, device):
    """With the CPU; and the CPU with the reference."""
    skip_if_missing(options, device)
    args = sample(name, "cpu", **options)
    ours = tensors_after(wrapper(name), on_tensors(lambda tensor: tensor.to(device), args))
    args = args[:-1] if "kernel" in options else args  # a CPU takes its own
    if device == "cpu":
        expected = tensors_in(equation(name)(*args))
        ours = ours[: len(expected)]
    else:
        expected = tensors_after(wrapper(name), args)
    for our, their in zip(ours, expected, strict=True):
        torch.testing.assert_close(our.cpu(), their)


def test_every_kernel_is_launched(cuda):
    def calls():
        for name, options in CASES:
            wrapper(name)(*sample(name, cuda, **options))
        torch.cuda.synchronize()

    calls()  # first: what is loaded on first use is not of interest
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        calls()
    launched = {short_name(event.key) for event in profile.key_averages()}
    if not any("_kernel" in name for name in launched):
        pytest.skip("the profiler sees no kernels here")
    assert sorted(set(short_names(mangled_names())) - launched) == []


def test_the_selection_is_small():
    """What a GPU machine runs under compute-sanitizer is these cases."""
    here = Path(__file__)
    files = [path for path in here.parent.glob("*.py") if "mark.sanitize" in path.read_text()]
    (step,) = (step for step in sanitizers(False) if step.name == "memcheck")
    chosen = step.command[step.command.index("-k") :][:2]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *chosen, *files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=here.parents[1])
    selected = [line for line in done.stdout.splitlines() if "::" in line]
    assert len(selected) == len(CASES) <= MOST, done.stdout


def test_every_overload_has_a_case():
    assert {name for name, _ in CASES} == set(OPS)
