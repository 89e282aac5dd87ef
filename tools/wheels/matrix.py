"""Which wheels there are, and what each must hold: workflow and install table agree with it."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@dataclass(frozen=True)
class Variant:
    """A column of the matrix.

    Attributes:
        image: The container that the workflow builds it in.
        chips: What its CUDA library has machine code for; none for a CPU wheel.
    """

    image: str
    chips: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The libraries of a wheel, without ``_C``."""
        return ("libclusca_ops.so", "libclusca_cuda.so") if self.chips else ("libclusca_ops.so",)


_IMAGE = "pytorch/manylinux2_28-builder:"
_UNTIL_HOPPER = ("80", "90a")
VARIANTS = {
    "cpu": Variant(f"{_IMAGE}cpu"),
    "cu126": Variant(f"{_IMAGE}cuda12.6", _UNTIL_HOPPER),
    "cu128": Variant(f"{_IMAGE}cuda12.8", (*_UNTIL_HOPPER, "100", "120")),
    "cu130": Variant(f"{_IMAGE}cuda13.0", (*_UNTIL_HOPPER, "100", "120")),
}


def base_version() -> str:
    return (ROOT / "version.txt").read_text().strip()


@dataclass(frozen=True)
class WheelName:
    """What a wheel's file name says."""

    version: str
    variant: str
    python: str
    platform: str

    @classmethod
    def of(cls, wheel: Path) -> "WheelName":
        """Read a file name.

        Raises:
            ValueError: It is not the name of a wheel of ours.
        """
        pattern = r"clusca_ext-([^+-]+)\+(\w+)-cp3(\d+)-cp3\3-(\w+(?:\.\w+)*)\.whl"
        found = re.fullmatch(pattern, wheel.name)
        if not found:
            raise ValueError(
                "wheel must be named clusca_ext-VERSION+VARIANT-cp3X-cp3X-PLATFORM.whl, got "
                f"{wheel.name}"
            )
        version, variant, minor, platform = found.groups()
        return cls(version, variant, f"3.{minor}", platform)
