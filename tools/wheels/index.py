"""Checksums and an index of wheels, for pip (PEP 503, with hashes and the Pythons they are for).

    python tools/wheels/index.py dist --output site [--url https://.../releases/download/v1.0.0]

An index a variant, so that none outdoes another by its version: ``pip install clusca_ext
--index-url .../site/cu130/simple --extra-index-url https://pypi.org/simple``. The files
themselves lie at ``--url``, or beside the index, where they are copied, without it. SHA256SUMS goes
into ``dist``: ``sha256sum --check SHA256SUMS`` there.
"""

import argparse
import hashlib
import html
import re
import shutil
import urllib.parse
import zipfile
from email.parser import Parser
from pathlib import Path

from matrix import VARIANTS, WheelName

PAGE = '<!DOCTYPE html>\n<html>\n<head><meta charset="utf-8"><title>{0}</title></head>\n<body>\n'
END = "</body>\n</html>\n"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def requires_python(wheel: Path) -> str:
    """What the wheel's metadata says of the Pythons it is for."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())["Requires-Python"]


def normalised(name: str) -> str:
    """The name of a project's page, as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def link(wheel: Path, url: str) -> str:
    address = f"{url}/{urllib.parse.quote(wheel.name)}#sha256={sha256(wheel)}"
    python = html.escape(requires_python(wheel))
    return f'<a href="{address}" data-requires-python="{python}">{wheel.name}</a><br>\n'


def write_index(wheels: list[Path], output: Path, url: str | None) -> None:
    """Write a page of projects and a page of files for every variant there is.

    Args:
        wheels: What is to be found.
        output: The folder that is served.
        url: Where the files are; None: copied beside the pages.
    """
    project = normalised("clusca_ext")
    for variant in VARIANTS:
        of_variant = sorted(each for each in wheels if WheelName.of(each).variant == variant)
        if not of_variant:
            continue
        simple = output / variant / "simple"
        (simple / project).mkdir(parents=True, exist_ok=True)
        if url is None:
            for wheel in of_variant:
                shutil.copy2(wheel, output / variant)
        where = url or "../.."
        root = f'{PAGE.format("Simple index")}<a href="{project}/">{project}</a>\n{END}'
        (simple / "index.html").write_text(root)
        links = "".join(link(wheel, where) for wheel in of_variant)
        title = f"Links for {project}"
        (simple / project / "index.html").write_text(f"{PAGE.format(title)}{links}{END}")


def write_checksums(folder: Path) -> None:
    """SHA256SUMS of what is published: the wheels and what is known of them."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".whl", ".json"))
    lines = [f"{sha256(path)}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dist", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--url")
    args = parser.parse_args()
    wheels = sorted(args.dist.glob("*.whl"))
    if not wheels:
        parser.error(f"dist must be a folder with wheels, got none in {args.dist}")
    write_checksums(args.dist)
    write_index(wheels, args.output, args.url.rstrip("/") if args.url else None)
    print(f"{len(wheels)} wheels in {args.output}, checksums in {args.dist / 'SHA256SUMS'}")


if __name__ == "__main__":
    main()
