"""The CUDA sources on a CPU: tests/emulation, whose header says what a run shows and what not.

Nothing here is evidence that a kernel works on a GPU.
"""

import os
import re
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "emulation"
CSRC = Path(__file__).parents[1] / "csrc"
FLAGS = [
    *("-std=c++17", "-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover"),
    *("-fno-omit-frame-pointer", "-fsanitize-sections=cuda_shared"),
    # Packets alias scalars, as CUDA allows; both sides round every operation; a kernel's address is
    # the one in the symbol table.
    *("-fno-strict-aliasing", "-ffp-contract=off", "-fno-pie"),
    *("-Wno-unknown-pragmas", "-Wno-psabi", "-DCLUSCA_NO_CLONES"),
    *(f"-I{HERE / 'include'}", f"-I{CSRC}"),
]
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
# The longest first.
FAMILIES = [
    *("kmeans", "kmeans-matrix", "kmeans-cluster"),
    *("tokens", "collapse", "lean", "gather", "select", "formats"),
]
# Not what is tested: switching between threads, half of the time, and the CPU's kernels, which
# tools/check_sanitized.sh checks.
UNCHECKED = ["-O2", "-fno-sanitize=all"]
EMULATOR = ["check_launch", "cuda_emulation", "fail", "fiber", "shared_memory", "tensor_core"]
SHARED_MEMORY = 48 * 1024  # bytes a block may have without asking for more

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") and shutil.which("nm")), reason="needs g++ and nm"
)


def run(*command: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=ENVIRONMENT
    )


def compiler(*arguments: object) -> None:
    done = run("g++", *FLAGS, *arguments)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    """The folder of test_kernels and self_test."""
    folder = tmp_path_factory.mktemp("emulation")
    emulated = [*(CSRC / "kernels").glob("*_cuda.cu"), *HERE.glob("run_*.cpp")]
    objects = {f"{source.stem}_emulated": (source, ["-DCLUSCA_CUDA"]) for source in emulated}
    unchecked = {"cuda_emulation", *(source.stem for source in HERE.glob("run_*.cpp"))}
    for source in HERE.glob("*.cpp"):
        objects[source.stem] = (source, UNCHECKED if source.stem in unchecked else [])

    def compile_one(name: str) -> None:
        source, flags = objects[name]
        compiler(*flags, "-x", "c++", "-c", source, "-o", folder / f"{name}.o")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # The CPU kernels take longest.
        list(pool.map(compile_one, sorted(objects, key=lambda name: "run" not in name)))

    def link(program: str, names: set[str]) -> None:
        # A function that several files have is the first one's: a checked one, where there is.
        ordered = sorted(names, key=lambda name: (name in unchecked, name))
        files = [folder / f"{name}.o" for name in ordered]
        compiler("-no-pie", *files, "-o", folder / program)

    link("test_kernels", objects.keys() - {"self_test"})
    link("self_test", {"self_test", *EMULATOR})
    return folder


def symbols(program: Path) -> list[tuple[int, int, str]]:
    """Address, size and name of everything in a program that has a size."""
    rows = re.findall(r"^(\w+) (\w+) \w (.+)$", run("nm", "-SC", program).stdout, re.MULTILINE)
    return [(int(address, 16), int(size, 16), name) for address, size, name in rows]


@pytest.fixture(scope="module")
def families(programs) -> dict[str, subprocess.CompletedProcess]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {name: pool.submit(run, programs / "test_kernels", name) for name in FAMILIES}
        return {name: done.result() for name, done in runs.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_agree_with_the_cpu(families, family):
    assert families[family].returncode == 0, families[family].stderr


def test_every_kernel_ran(programs, families):
    ran = {int(address, 16) for done in families.values() for address in done.stdout.split()}
    kernels = {
        address: name
        for address, _, name in symbols(programs / "test_kernels")
        if re.search(r"_kernel[<(].*\)$", name)
    }
    assert len(kernels) > 60
    assert [name for address, name in kernels.items() if address not in ran] == []


def test_shared_memory_fits(programs):
    used = Counter()
    for _, size, name in symbols(programs / "test_kernels"):
        if array := re.fullmatch(r"(.*_kernel[<(].*\))::\w+", name):
            used[array[1]] += size
    assert used
    assert {kernel: size for kernel, size in used.items() if size > SHARED_MEMORY} == {}


MISTAKES = {
    "reads_beyond_a_buffer": "heap-buffer-overflow",
    "reads_beyond_shared_memory": "global-buffer-overflow|insufficient space",
    "reads_a_misaligned_packet": "misaligned address",
    "parts_at_a_barrier": "threads wait at different barriers",
    "parts_between_barrier_and_shuffle": "deadlock",
    "shuffles_with_lanes_that_left": "which is not there",
    "has_too_many_threads": "a block of 41 x 25 x 1 threads",
    "has_no_threads": "a block of no threads",
    "has_too_much_shared_memory": "131072 bytes of shared memory",
    "copies_a_misaligned_packet": "copy_packet of a misaligned packet",
    "reads_beyond_dynamic_shared": "heap-buffer-overflow",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_reported(programs, name):
    done = run(programs / "self_test", name)
    assert done.returncode != 0
    assert re.search(MISTAKES[name], done.stderr)


@pytest.mark.parametrize(
    "name",
    [
        *("reads_unwritten_shared_memory", "leaves_before_a_barrier", "sums_its_block"),
        *("waits_for_its_copies", "multiplies"),
    ],
)
def test_what_is_legal_runs(programs, name):
    done = run(programs / "self_test", name)
    assert done.returncode == 0, done.stderr
