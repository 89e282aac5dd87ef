"""What must be true of a repaired wheel, whatever machine it is for.

    python tools/wheels/check.py dist/*.whl

- Its platform tag is a manylinux one, and its libraries ask for no newer glibc than that.
- It is under 5 MB without the embedded models, and holds what matrix.py says, no more.
- The operator libraries use torch's stable C interface, cudart and libc, and no Python.
- No library has an RPATH; none names a folder of the machine that built it.
- The CUDA library has machine code for every chip of its variant (cuobjdump must be in PATH).
- Its metadata names the version, the variant, the torch and the Pythons it is for.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from check_binaries import bad_symbols, dynamic
from matrix import ROOT, VARIANTS, WheelName, base_version

MOST_BYTES = 5_000_000
# Their weights and pictures, and the masks and placements that were found for them.
MODELS = re.compile(r"clusca_ext/(demo/(digits|pictures)/|lab/masks/|presets/.*\.json$)")


def size_without_models(wheel: Path) -> int:
    """Bytes that a wheel would have without the files of the embedded models, as compressed."""
    with zipfile.ZipFile(wheel) as archive:
        models = [info for info in archive.infolist() if MODELS.match(info.filename)]
    if not models:
        raise ValueError(f"wheel must hold the embedded models, got none in {wheel.name}")
    return wheel.stat().st_size - sum(info.compress_size for info in models)


def glibc_of(library: Path) -> tuple[int, int]:
    """The newest glibc that a library asks for; (0, 0) if it asks for none."""
    versions = subprocess.run(
        ["readelf", "-V", "--wide", library], check=True, capture_output=True, text=True
    ).stdout
    found = re.findall(r"GLIBC_(\d+)\.(\d+)", versions)
    return max(((int(major), int(minor)) for major, minor in found), default=(0, 0))


def tag_problems(name: WheelName, libraries: list[Path]) -> list[str]:
    """A tag must be manylinux_2_X or say less, and every library must keep to it."""
    floors = re.findall(r"manylinux_(\d+)_(\d+)_x86_64", name.platform)
    if not floors:
        return [f"its platform is {name.platform}, not manylinux: it is not repaired"]
    floor = min(tuple(map(int, each)) for each in floors)
    return [
        f"{library.name} needs glibc {'.'.join(map(str, glibc_of(library)))}, the tag says "
        f"{'.'.join(map(str, floor))}"
        for library in libraries
        if glibc_of(library) > floor
    ]


def library_problems(library: Path) -> list[str]:
    """Symbols, RPATH and leaked folders of one library."""
    problems = []
    if "RPATH" in dynamic(library) or "RUNPATH" in dynamic(library):
        problems.append(f"{library.name} has an RPATH")
    if str(ROOT).encode() in library.read_bytes():
        problems.append(f"{library.name} names the folder it was built in")
    if not library.name.startswith("_C"):
        problems += [f"{library.name} uses {symbol}" for symbol in bad_symbols(library)]
        if re.search(r"\bPy[A-Z_]\w+", " ".join(undefined(library))):
            problems.append(f"{library.name} uses Python")
    return problems


def undefined(library: Path) -> list[str]:
    command = ["nm", "-D", "--undefined-only", library]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.split()[-1] for line in lines]


def chip_problems(library: Path, chips: tuple[str, ...]) -> list[str]:
    """Machine code for exactly the chips of the variant, and PTX for those that are not listed."""
    command = ["cuobjdump", "--list-elf", "--list-ptx", library]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    has = set(re.findall(r"\.sm_(\w+)\.cubin", listed))
    problems = [f"{library.name} has no code for sm_{chip}" for chip in sorted({*chips} - has)]
    problems += [f"{library.name} has code for sm_{chip}, too" for chip in sorted(has - {*chips})]
    return problems + ([] if ".sm_80.ptx" in listed else [f"{library.name} has no PTX of sm_80"])


def metadata_problems(text: str, name: WheelName) -> list[str]:
    metadata = Parser().parsestr(text)
    wanted = f"{name.version}+{name.variant}"
    problems = (
        [] if metadata["Version"] == wanted else [f"its metadata is of {metadata['Version']}"]
    )
    needs = metadata.get_all("Requires-Dist", [])
    if "torch>=2.10" not in needs:
        problems.append(f"it must need torch>=2.10, got {needs}")
    if metadata["Requires-Python"] != ">=3.10":
        problems.append(f"it must need Python >=3.10, got {metadata['Requires-Python']}")
    return problems


def problems_of(wheel: Path) -> list[str]:
    """Everything that is wrong with a wheel, one sentence each."""
    name = WheelName.of(wheel)
    variant = VARIANTS[name.variant]
    size = size_without_models(wheel)
    problems = [f"{size} bytes without the models"] if size >= MOST_BYTES else []
    if name.version != base_version():
        problems.append(f"it is of {name.version}, version.txt says {base_version()}")
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        files = [each for each in archive.namelist() if each.endswith(".so") or ".so." in each]
        libraries = [Path(archive.extract(each, folder)) for each in files]
        own = f"_C.cpython-{name.python.replace('.', '')}-x86_64-linux-gnu.so"
        held = sorted(each.removeprefix("clusca_ext/") for each in files)
        if held != sorted([own, *variant.parts]):
            problems.append(f"its libraries are {held}")
        metadata = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        problems += metadata_problems(archive.read(metadata).decode(), name)
        problems += tag_problems(name, libraries)
        for library in libraries:
            problems += library_problems(library)
            if library.name == "libclusca_cuda.so":
                problems += chip_problems(library, variant.chips)
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", type=Path, nargs="+")
    wrong = False
    for wheel in parser.parse_args().wheels:
        problems = problems_of(wheel)
        size = size_without_models(wheel) / 1e6
        print(f"{wheel.name}: {size:.2f} MB without the models, {len(problems)} problems")
        print(*[f"  {problem}" for problem in problems], sep="\n", end="\n" if problems else "")
        wrong = wrong or bool(problems)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
