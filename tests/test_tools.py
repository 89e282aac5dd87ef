"""What the checks in tools say and cover."""

import re
import sys
from pathlib import Path

import pytest
import torch

import check_binaries
import check_registration
from check_binaries import LOAD, MATRIX, OCCUPANCY, PRODUCT, STORE, WITHOUT


def library(**kernels):
    """Every kernel that is allowed to be narrow, and those given by template arguments."""
    found = {
        ("sm_80", f"void clusca::{name}<float>(clusca::Params<float>)"): [] for name in WITHOUT
    }
    for name, (without, _) in WITHOUT.items():
        if LOAD not in without:
            found["sm_80", f"void clusca::{name}<float, 4>(clusca::Params<float>)"] = {LOAD}
    for metric in (0, 1):
        assign = f"kmeans_assign_kernel<__half, (clusca::Metric){metric}, 8>(Params)"
        found["sm_80", f"void clusca::(anonymous namespace)::{assign}"] = {LOAD}
    for name, variants in kernels.items():
        for arguments, has in variants.items():
            of = f"void clusca::(anonymous namespace)::{name}<{arguments}>(clusca::P<float>)"
            found["sm_90a", of] = has
    return {key: set(has) for key, has in found.items()}


def test_packets_of_16_bytes_and_kernels_that_say_why_not_are_fine():
    new = {"__half, 1": [], "__half, 8": [LOAD, STORE], "float, 4": [STORE, LOAD]}
    assert check_binaries.narrow_kernels(library(new_kernel=new)) == []


@pytest.mark.parametrize(
    "variants, problem",
    [
        ({"float, 1": [], "float, 4": [LOAD]}, "no 128-bit store in .*new_kernel<float, 4>.*90a."),
        ({"__half, 8": [STORE]}, "no 128-bit load in .*new_kernel<__half, 8>.*90a."),
        ({"float": []}, "new_kernel has no packets of 16 bytes, and no reason in WITHOUT"),
        ({"float, 2": [LOAD, STORE]}, "new_kernel has no packets of 16 bytes, and .*"),
    ],
)
def test_a_new_kernel_must_have_packets_or_a_reason(variants, problem):
    (found,) = check_binaries.narrow_kernels(library(new_kernel=variants))
    assert re.fullmatch(problem, found)


def test_a_reason_goes_with_its_kernel():
    found = {key: has for key, has in library().items() if "select_kernel" not in key[1]}
    assert check_binaries.narrow_kernels(found) == [
        "select_kernel of WITHOUT is not in the library"
    ]


def products(chip="sm_90a", **has):
    kernels = {name: {PRODUCT} for name in MATRIX} | has
    return {(chip, f"void clusca::{name}<T, 8>(clusca::P<T>)"): of for name, of in kernels.items()}


@pytest.mark.parametrize(
    "found, problems",
    [
        (products(), []),
        (
            products(kmeans_matrix_kernel=set()),
            ["no tensor core product in kmeans_matrix_kernel (sm_90a)"],
        ),
        (products("sm_80", kmeans_cluster_kernel=set()) | products(), []),
        (products("sm_80"), ["kmeans_cluster_kernel is not in the library"]),
    ],
)
def test_tensor_cores_make_products(found, problems):
    assert check_binaries.without_products(found) == problems


def usages(kernel="new_kernel<float>", **changes):
    """Of every kernel in OCCUPANCY, and of one more."""
    few = {"REG": 32, "STACK": 0, "SHARED": 0, "LOCAL": 0}
    found = {("sm_80", f"void clusca::{name}<float>(P<float>)"): few for name in OCCUPANCY}
    return found | {("sm_90a", f"void clusca::{kernel}(P<float>)"): few | changes}


@pytest.mark.parametrize(
    "kernel, changes, problem",
    [
        ("taylor_update_kernel<float, 4>", {"REG": 64}, ""),
        ("taylor_update_kernel<float, 4>", {"REG": 65}, "65 registers are too many for 8 blocks"),
        ("collapse_forecasts_kernel<float, 8, 4>", {"REG": 128}, ""),
        ("gather_representatives_kernel<float, 4>", {"REG": 129}, "129 registers are too many"),
        ("select_kernel<float>", {"SHARED": 49 * 1024}, ""),
        ("select_kernel<float>", {"SHARED": 49 * 1024 + 1}, "50177 bytes of shared memory"),
        ("select_kernel<float>", {"STACK": 8}, "local memory in"),
        ("select_kernel<float>", {"LOCAL": 8}, "local memory in"),
        ("new_kernel<float>", {}, ".*new_kernel.* is not in OCCUPANCY"),
    ],
)
def test_kernels_keep_their_occupancy(kernel, changes, problem):
    found = check_binaries.crowded_kernels(usages(kernel, **changes))
    assert len(found) == bool(problem)
    assert all(re.match(problem, each) and "(sm_90a)" in each for each in found)


def test_an_occupancy_goes_with_its_kernel():
    found = usages("select_kernel<float>")
    left = {key: usage for key, usage in found.items() if "taylor_update_kernel" not in key[1]}
    assert check_binaries.crowded_kernels(left) == [
        "taylor_update_kernel of OCCUPANCY is not in the library"
    ]


def test_registers_are_reported_by_chip():
    found = usages("select_kernel<int>", REG=40) | usages("select_kernel<int, 4>", REG=48)
    assert "select_kernel: sm_80 32, sm_90a 48" in check_binaries.most_registers(found)


def test_registration_is_left_out_on_a_torch_with_cuda(monkeypatch, capsys):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(sys, "argv", ["check_registration.py", "nowhere", "nowhere"])
    check_registration.main()
    assert re.search(
        "left out: torch .* has CUDA, and the check is for one", capsys.readouterr().out
    )


def test_the_oldest_diffusers_that_is_allowed_is_tested():
    root = Path(check_binaries.__file__).parents[1]
    allowed = re.search(r'"diffusers>=([\d.]+)"', (root / "pyproject.toml").read_text())[1]
    tested = re.search(r"set -- (.*?) #", (root / "tools/check_diffusers.sh").read_text())[1]
    assert tested.split()[-1] == f"{allowed}.0"
