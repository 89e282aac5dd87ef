"""Libraries that stand in for CUDA's, so that a CUDA build of torch can be loaded without it.

Every function that the given libraries use is there and returns cudaErrorNoDevice. Nothing can run:
this is for checking that libraries load, link and register.
"""

import collections
import re
import subprocess
from pathlib import Path

NO_DEVICE = 100


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed(library: Path) -> set[str]:
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", library)))


def version_files(library: Path) -> dict[str, str]:
    """Which library each symbol version is to come from."""
    found: dict[str, str] = {}
    file = ""
    for line in run("readelf", "-V", "--wide", library).splitlines():
        if match := re.search(r"File: (\S+)", line):
            file = match[1]
        elif match := re.search(r"Name: (\S+)\s+Flags", line):
            found[match[1]] = file
    return found


def make_fakes(libraries: list[Path], beside: set[str], folder: Path) -> list[str]:
    """Build a fake for everything the libraries need that the system and ``beside`` do not have.

    Args:
        libraries: What is to be loaded.
        beside: Names of libraries that are there already.
        folder: Where the fakes go.

    Returns:
        The names of the fakes.
    """
    system = set(re.findall(r"^\s*(\S+) \(", run("/sbin/ldconfig", "-p"), re.MULTILINE))
    system = {name for name in system if not re.match(r"lib(cu|nv|nccl)", name)}
    wanted = set().union(*(needed(library) for library in libraries)) - beside - system
    symbols: dict[str, dict[str, set[str]]] = collections.defaultdict(
        lambda: collections.defaultdict(set)
    )
    for library in libraries:
        files = version_files(library)
        for line in run("nm", "-D", "--undefined-only", library).splitlines():
            name, _, version = line.split()[-1].partition("@")
            if files.get(version) in wanted:
                symbols[files[version]][version].add(name)
    for file in wanted:
        source, script = folder / f"{file}.c", folder / f"{file}.map"
        names = sorted(set().union(*symbols[file].values()))
        source.write_text("\n".join(f"int {name}() {{ return {NO_DEVICE}; }}" for name in names))
        nodes = [
            f"{version} {{ global: {'; '.join(sorted(of))}; }};"
            for version, of in symbols[file].items()
        ]
        script.write_text("\n".join(nodes))
        options = [f"-Wl,--version-script={script}"] if nodes else []
        run(
            "gcc",
            "-w",
            "-shared",
            "-fPIC",
            f"-Wl,-soname,{file}",
            *options,
            source,
            "-o",
            folder / file,
        )
    return sorted(wanted)
