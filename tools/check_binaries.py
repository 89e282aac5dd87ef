"""What can be checked of the built libraries without a GPU.

    python tools/check_binaries.py FOLDER [--architectures 80,86,89,90a,100,120]

- Undefined symbols are torch's stable C interface, cudart and libc: nothing mangled of torch.
- libclusca_cuda.so needs libtorch_cuda.so and libcudart.so, and neither library has an RPATH.
- Every architecture is there, and no kernel uses local memory (spills, dynamic indexing).
- Every kernel has 128-bit loads and stores where its packets are 16 bytes, or says why it has none.
- Tensor cores make the products of the kernels that are there for it, summed in float32.

The last three read machine code with cuobjdump, which must be in PATH.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ALLOWED = re.compile(
    r"^(aoti_torch_|torch_|cuda|__cuda|_ITM_|__gmon_start__|__cxa_finalize|__cpu_)\w*$"
)
LOAD, STORE, PRODUCT = "load", "store", "tensor core product"
MATRIX = "kmeans_matrix_kernel"  # whose products tensor cores make
# What a kernel does without, and why. Every other one reads and writes 16 bytes at a time.
WITHOUT = {
    "correction_kernel": ({LOAD, STORE}, "K of N rows: little beside the propagation it precedes"),
    "kmeans_accumulate_kernel": (
        {LOAD, STORE},
        "two channels a thread: the sums of all its clusters must fit shared memory",
    ),
    "kmeans_assign_kernel": ({STORE}, "it writes a label and a distance a token"),
    "kmeans_distance_kernel": ({STORE}, "it writes a label and a distance a token"),
    "kmeans_matrix_kernel": ({STORE}, "it writes a label and a distance a token"),
    "kmeans_split_kernel": ({LOAD, STORE}, "one thread a channel of a cluster: K of N rows"),
    "kmeans_count_kernel": ({LOAD, STORE}, "it reads labels and distances, no features"),
    "kmeans_reduce_kernel": ({LOAD, STORE}, "one thread a channel of a cluster: K of N rows"),
    "kmeans_update_kernel": ({LOAD, STORE}, "one thread a channel of a cluster: K of N rows"),
    "select_kernel": ({LOAD, STORE}, "it reads labels and distances, no features"),
}


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


def accesses(library: Path) -> dict[tuple[str, str], set[str]]:
    """The 128-bit accesses of every kernel, by chip and the kernel's name with its arguments."""
    found: dict[tuple[str, str], set[str]] = {}
    chip = kernel = ""
    for line in run("cuobjdump", "--dump-sass", library).splitlines():
        if match := re.search(r"arch = (sm_\w+)", line):
            chip = match[1]
        elif match := re.search(r"Function : (\S+)", line):
            kernel = run("c++filt", match[1]).strip()
            found[chip, kernel] = set()
        elif match := re.search(r"\b(LDG?|LDGSTS|STG?)\.E(\.\w+)*\.128", line):
            found[chip, kernel].add(STORE if match[1] in ("ST", "STG") else LOAD)
        elif re.search(r"\bHMMA\.16816\.F32", line):
            found[chip, kernel].add(PRODUCT)
    return found


def narrow_kernels(found: dict[tuple[str, str], set[str]]) -> list[str]:
    """What is wrong with the 128-bit accesses of kernels.

    The last template argument of a kernel that has packets is how many elements they have: 4 or 8
    of them are 16 bytes.
    """
    problems = []
    packets: dict[str, list[tuple[str, set[str]]]] = {}
    for (chip, kernel), has in found.items():
        name = re.search(r"(\w+)([<(]|$)", kernel.replace("(anonymous namespace)::", ""))[1]
        variants = packets.setdefault(name, [])
        if re.search(r"[<, ][48]>\(", kernel):
            variants.append((f"{kernel} ({chip})", has))
    for name, variants in packets.items():
        needed = {LOAD, STORE} - (WITHOUT[name][0] if name in WITHOUT else set())
        if needed and not variants:
            problems.append(f"{name} has no packets of 16 bytes, and no reason in WITHOUT")
        for where, has in variants:
            problems += [f"no 128-bit {access} in {where}" for access in sorted(needed - has)]
    if MATRIX not in packets:
        problems.append(f"{MATRIX} is not in the library")
    for (chip, kernel), has in found.items():
        if MATRIX in kernel and PRODUCT not in has:
            problems.append(f"no {PRODUCT} in {kernel} ({chip})")
    gone = sorted(WITHOUT.keys() - packets.keys())
    return problems + [f"{name} of WITHOUT is not in the library" for name in gone]


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
    problems += narrow_kernels(accesses(cuda))
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems; chips: {', '.join(sorted(built))}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
