"""Which Pythons this machine has: python tools/wheels/pythons.py prints a path a line.

Looked for in PATH, where manylinux images keep them (/opt/python) and where pyenv does.
"""

import glob
import os
import shutil
import subprocess

from matrix import PYTHONS

_IN_IMAGES = "/opt/python/cp{compact}-cp{compact}/bin/python"
_IN_PYENV = "{pyenv}/versions/{version}.*/bin/python"


def works(python: str, version: str) -> bool:
    """Whether it is there, is of that version, and can make environments."""
    code = "import sys, venv, sysconfig; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def find(version: str) -> str | None:
    """The path of a Python, such as of "3.12", or None."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    candidates = [_IN_IMAGES.format(compact=version.replace(".", ""))]
    candidates += sorted(glob.glob(_IN_PYENV.format(pyenv=pyenv, version=version)))
    if in_path := shutil.which(f"python{version}"):
        candidates.append(in_path)
    return next((each for each in candidates if works(each, version)), None)


def main() -> None:
    found = [path for version in PYTHONS if (path := find(version))]
    print(*found, sep="\n")


if __name__ == "__main__":
    main()
