"""What can be checked of the built libraries without a GPU.

    python tools/check_binaries.py FOLDER [--architectures 80,90a,100,120]

- Undefined symbols are torch's stable C interface, cudart and libc: nothing mangled of torch.
- libclusca_cuda.so needs libtorch_cuda.so and libcudart.so, and neither library has an RPATH.
- Every architecture is there, and no kernel uses local memory (spills, dynamic indexing).
- No kernel has more registers than OCCUPANCY leaves it, nor more shared memory than a block gets
  without asking.
- Every kernel has 128-bit loads and stores where its packets are 16 bytes, or says why it has none.
- Tensor cores make the products of the kernels that are there for it, summed in float32.

The last three read machine code with cuobjdump, which must be in PATH.
"""

import argparse
import functools
import re
import subprocess
import sys
from pathlib import Path

ALLOWED = re.compile(
    r"^(aoti_torch_|torch_|cuda|__cuda|_ITM_|__gmon_start__|__cxa_finalize|__cpu_)\w*$"
)
LOAD, STORE, PRODUCT = "load", "store", "tensor core product"
# Whose products tensor cores make, and the first chip with code for them.
MATRIX = {"kmeans_matrix_kernel": 80, "kmeans_cluster_kernel": 90}
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
    "kmeans_cluster_kernel": ({LOAD, STORE}, "it copies packets, whatever its arguments"),
    "kmeans_count_kernel": ({LOAD, STORE}, "it reads labels and distances, no features"),
    "kmeans_reduce_kernel": ({LOAD, STORE}, "one thread a channel of a cluster: K of N rows"),
    "kmeans_update_kernel": ({LOAD, STORE}, "one thread a channel of a cluster: K of N rows"),
    "select_kernel": ({LOAD, STORE}, "it reads labels and distances, no features"),
}
# Threads of a kernel's blocks, and for how many of these a multiprocessor's registers must do, on
# every chip: as __launch_bounds__ promises or, where it promises nothing, about as many as now.
OCCUPANCY = {
    "carry_representatives_kernel": (512, 1),
    "cluster_propagate_kernel": (128, 8),
    "collapse_forecasts_kernel": (128, 4),
    "collapsed_residual_kernel": (128, 4),  # that of packets of both dtypes; 6 of the others
    "correction_kernel": (128, 8),
    "forecast_residual_kernel": (128, 8),
    "gather_representatives_kernel": (256, 2),
    "kmeans_accumulate_kernel": (128, 3),
    "kmeans_assign_kernel": (256, 1),  # that of 32 tokens; 2 of the others
    "kmeans_cluster_kernel": (256, 2),
    "kmeans_count_kernel": (128, 8),
    "kmeans_distance_kernel": (128, 8),
    "kmeans_matrix_kernel": (128, 2),
    "kmeans_reduce_kernel": (128, 8),
    "kmeans_split_kernel": (128, 8),
    "kmeans_update_kernel": (128, 8),
    "lean_accumulate_kernel": (128, 6),  # that of half types; 8 of float32
    "lean_norm_kernel": (128, 5),
    "lean_output_kernel": (128, 5),  # that of packets of both dtypes; 6 of the others
    "propagate_factors_kernel": (128, 8),
    "propagate_residual_kernel": (128, 6),
    "select_kernel": (512, 2),
    "taylor_forecast_kernel": (128, 8),
    "taylor_update_kernel": (128, 8),
}
REGISTERS = 65536  # of a multiprocessor, given to a thread by eights
SHARED = 48 * 1024  # bytes of a block
RESERVED = 1024  # of every block, which newer chips count as the kernel's


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@functools.cache
def demangled(name: str) -> str:
    return run("c++filt", name).strip()


def bad_symbols(library: Path) -> list[str]:
    """Undefined symbols that come neither from a versioned system library nor from the C shims."""
    names = [line.split()[-1] for line in run("nm", "-D", "--undefined-only", library).splitlines()]
    return [name for name in names if "@" not in name and not ALLOWED.match(name)]


def dynamic(library: Path) -> str:
    return run("readelf", "-d", library)


def usages(library: Path) -> dict[tuple[str, str], dict[str, int]]:
    """REG, STACK, SHARED and LOCAL of every kernel, by chip and its name with arguments."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    chip = kernel = ""
    for line in run("cuobjdump", "--dump-resource-usage", library).splitlines():
        if match := re.search(r"arch = (sm_\w+)", line):
            chip = match[1]
        elif match := re.search(r"Function (\S+):", line):
            kernel = demangled(match[1])
        elif "REG:" in line:
            numbers = re.findall(r"(\w+):(\d+)", line)
            found[chip, kernel] = {name: int(number) for name, number in numbers}
    if not found:
        sys.exit("cuobjdump printed no resource usage")
    return found


def name_of(kernel: str) -> str:
    return re.search(r"(\w+)([<(]|$)", kernel.replace("(anonymous namespace)::", ""))[1]


def crowded_kernels(found: dict[tuple[str, str], dict[str, int]]) -> list[str]:
    """Kernels that use local memory, too much shared memory, or too many registers."""
    problems = []
    for (chip, kernel), usage in found.items():
        where = f"{kernel} ({chip})"
        if usage["STACK"] or usage["LOCAL"]:
            problems.append(f"local memory in {where}")
        if name_of(kernel) not in OCCUPANCY:
            problems.append(f"{where} is not in OCCUPANCY")
            continue
        threads, blocks = OCCUPANCY[name_of(kernel)]
        registers = -(-usage["REG"] // 8) * 8
        if registers * threads * blocks > REGISTERS:
            problems.append(f"{usage['REG']} registers are too many for {blocks} blocks of {where}")
        if usage["SHARED"] > SHARED + RESERVED:
            problems.append(f"{usage['SHARED']} bytes of shared memory in {where}")
    gone = sorted(OCCUPANCY.keys() - {name_of(kernel) for _, kernel in found})
    return problems + [f"{name} of OCCUPANCY is not in the library" for name in gone]


def most_registers(found: dict[tuple[str, str], dict[str, int]]) -> list[str]:
    """A line a kernel: the most registers that an instantiation of it has, by chip."""
    most: dict[str, dict[str, int]] = {}
    for (chip, kernel), usage in found.items():
        by_chip = most.setdefault(name_of(kernel), {})
        by_chip[chip] = max(by_chip.get(chip, 0), usage["REG"])
    return [
        f"{name}: " + ", ".join(f"{chip} {by_chip[chip]}" for chip in sorted(by_chip))
        for name, by_chip in sorted(most.items())
    ]


def accesses(library: Path) -> dict[tuple[str, str], set[str]]:
    """The 128-bit accesses of every kernel, by chip and the kernel's name with its arguments."""
    found: dict[tuple[str, str], set[str]] = {}
    chip = kernel = ""
    for line in run("cuobjdump", "--dump-sass", library).splitlines():
        if match := re.search(r"arch = (sm_\w+)", line):
            chip = match[1]
        elif match := re.search(r"Function : (\S+)", line):
            kernel = demangled(match[1])
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
        variants = packets.setdefault(name_of(kernel), [])
        if re.search(r"[<, ][48]>\(", kernel):
            variants.append((f"{kernel} ({chip})", has))
    for name, variants in packets.items():
        needed = {LOAD, STORE} - (WITHOUT[name][0] if name in WITHOUT else set())
        if needed and not variants:
            problems.append(f"{name} has no packets of 16 bytes, and no reason in WITHOUT")
        for where, has in variants:
            problems += [f"no 128-bit {access} in {where}" for access in sorted(needed - has)]
    gone = sorted(WITHOUT.keys() - packets.keys())
    return problems + [f"{name} of WITHOUT is not in the library" for name in gone]


def without_products(found: dict[tuple[str, str], set[str]]) -> list[str]:
    """What is wrong with the products of the kernels that are there for tensor cores."""
    problems = []
    for name, first_chip in MATRIX.items():
        chips = {
            chip: has
            for (chip, kernel), has in found.items()
            if name_of(kernel) == name and int(re.search(r"\d+", chip)[0]) >= first_chip
        }
        if not chips:
            problems.append(f"{name} is not in the library")
        problems += [
            f"no {PRODUCT} in {name} ({c})" for c, has in chips.items() if PRODUCT not in has
        ]
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--architectures", default="80,90a,100,120")
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
    used = usages(cuda)
    print("registers:", *most_registers(used), sep="\n  ")
    problems += crowded_kernels(used)
    found = accesses(cuda)
    problems += narrow_kernels(found) + without_products(found)
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems; chips: {', '.join(sorted(built))}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
