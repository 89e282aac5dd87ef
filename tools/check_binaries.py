"""What can be checked of the built libraries without a GPU.

    python tools/check_binaries.py FOLDER [--architectures 80,86,89,90a,100,120]

- Undefined symbols are torch's stable C interface, cudart and libc: nothing mangled of torch.
- libclusca_cuda.so needs libtorch_cuda.so and libcudart.so, and neither library has an RPATH.
- Every architecture is there, and no kernel uses local memory (spills, dynamic indexing).
- Every vectorised kernel has 128-bit loads and stores.

The last two read machine code with cuobjdump, which must be in PATH.
"""

import argparse
import collections
import re
import subprocess
import sys
from pathlib import Path

ALLOWED = re.compile(
    r"^(aoti_torch_|torch_|cuda|__cuda|_ITM_|__gmon_start__|__cxa_finalize|__cpu_)\w*$"
)
# Kernels whose packet path reads and writes 16 bytes at a time.
VECTORISED = re.compile(
    r"(taylor_forecast|taylor_update|forecast_residual|propagate_residual|cluster_propagate|"
    r"propagate_factors|gather_representatives|carry_representatives|collapsed_residual)"
    r"_kernel.*Li[48]E"
)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def bad_symbols(library: Path) -> list[str]:
    """Undefined symbols that come neither from a versioned system library nor from the C shims."""
    names = [line.split()[-1] for line in run("nm", "-D", "--undefined-only", library).splitlines()]
    return [name for name in names if "@" not in name and not ALLOWED.match(name)]


def dynamic(library: Path) -> str:
    return run("readelf", "-d", library)


def local_memory(library: Path) -> list[str]:
    """Kernels that use local memory or a stack, by chip."""
    found, chip, kernel = [], "", ""
    usages = 0
    for line in run("cuobjdump", "--dump-resource-usage", library).splitlines():
        if match := re.search(r"arch = (sm_\w+)", line):
            chip = match[1]
        elif match := re.search(r"Function (\S+):", line):
            kernel = match[1]
        elif "REG:" in line:
            usages += 1
            if not ("STACK:0 " in line and "LOCAL:0 " in line):
                found.append(f"{kernel} ({chip})")
    if not usages:
        sys.exit("cuobjdump printed no resource usage")
    return found


def narrow_kernels(library: Path) -> list[str]:
    """Vectorised kernels without a 128-bit load or store, by chip."""
    counts: dict[tuple[str, str], collections.Counter[str]] = {}
    chip = kernel = ""
    for line in run("cuobjdump", "--dump-sass", library).splitlines():
        if match := re.search(r"arch = (sm_\w+)", line):
            chip = match[1]
        elif match := re.search(r"Function : (\S+)", line):
            kernel = match[1]
            counts[chip, kernel] = collections.Counter()
        elif match := re.search(r"\b(LD|ST)G?\.E(\.\w+)*\.128", line):
            counts[chip, kernel][match[1]] += 1
    watched = {key: count for key, count in counts.items() if VECTORISED.search(key[1])}
    if not watched:
        sys.exit("no vectorised kernel was found: have they been renamed?")
    return [f"{k} ({c})" for (c, k), n in watched.items() if n["LD"] < 1 or n["ST"] < 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--architectures", default="80,86,89,90a,100,120")
    args = parser.parse_args()
    ops, cuda = args.folder / "libclusca_ops.so", args.folder / "libclusca_cuda.so"
    problems = []
    for library in (ops, cuda):
        problems += [f"{library.name} uses {name}" for name in bad_symbols(library)]
        if "RPATH" in dynamic(library) or "RUNPATH" in dynamic(library):
            problems.append(f"{library.name} has an RPATH")
    for needed in ("libtorch_cuda.so", "libcudart.so."):
        if needed not in dynamic(cuda):
            problems.append(f"{cuda.name} does not need {needed}")
    built = set(re.findall(r"\.(sm_\w+)\.cubin", run("cuobjdump", "--list-elf", cuda)))
    wanted = {f"sm_{name}" for name in args.architectures.split(",")}
    problems += [f"{cuda.name} has no code for {name}" for name in sorted(wanted - built)]
    if "sm_80" not in run("cuobjdump", "--list-ptx", cuda):
        problems.append(f"{cuda.name} has no PTX for chips that are not listed")
    problems += [f"local memory in {name}" for name in local_memory(cuda)]
    problems += [f"no 128-bit access in {name}" for name in narrow_kernels(cuda)]
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems; chips: {', '.join(sorted(built))}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
