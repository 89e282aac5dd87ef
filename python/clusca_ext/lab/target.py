"""What is asked of a calibration: so much faster, or so near to the full sampler."""

from dataclasses import dataclass
from typing import Protocol

from clusca_ext.checks import threshold
from clusca_ext.demo.judge import HIGHEST

COSTS = ("time", "operations")
NOISE = 0.02  # of times: what lies nearer is as fast


class Scored(Protocol):
    """A configuration that was tried."""

    @property
    def psnr(self) -> float:
        """Mean PSNR to the full sampler, dB."""

    @property
    def psnr_error(self) -> float:
        """Its standard error."""

    def speed(self, cost: str) -> float:
        """How much faster than the full sampler; 0 where that is not known."""

    def speed_error(self, cost: str) -> float:
        """Its standard error; of operations 0."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The best quality at a speed, or the highest speed at a quality.

    Attributes:
        speedup: Times the full sampler's speed, at least; None where ``psnr`` is given.
        psnr: PSNR to the full sampler, dB, at least.
        cost: ``"time"``, measured, or ``"operations"``, counted: the same on every machine.
    """

    speedup: float | None = None
    psnr: float | None = None
    cost: str = "time"

    def __post_init__(self) -> None:
        if (self.speedup is None) == (self.psnr is None):
            raise ValueError(
                "target must be one of speedup and psnr, got "
                f"speedup={self.speedup!r}, psnr={self.psnr!r}"
            )
        if self.cost not in COSTS:
            raise ValueError(f"cost must be one of {list(COSTS)}, got {self.cost!r}")
        name = "speedup" if self.psnr is None else "psnr"
        value = getattr(self, name)
        threshold(name, value)
        least = 1 if self.psnr is None else 0
        if not least < value < float("inf"):
            raise ValueError(f"{name} must be finite and above {least}, got {value!r}")
        if self.psnr is not None and self.psnr > HIGHEST:
            raise ValueError(f"psnr must be at most {HIGHEST:g}, equal pictures', got {value!r}")

    def __str__(self) -> str:
        if self.psnr is None:
            return f"at least {self.speedup:g}x the full sampler's speed, by {self.cost}"
        return f"a PSNR of at least {self.psnr:g} dB to the full sampler"

    def meets(self, trial: Scored, surely: bool = False) -> bool:
        """Whether a trial reaches the target.

        Args:
            trial: It.
            surely: By a standard error more: the best of many that reach it just so is one that
                was lucky.
        """
        if self.speedup is not None:
            error = trial.speed_error(self.cost) if surely else 0.0
            return trial.speed(self.cost) - error >= self.speedup
        assert self.psnr is not None
        return trial.psnr - (trial.psnr_error if surely else 0.0) >= self.psnr

    def rank(self, trial: Scored, surely: bool = False) -> tuple[bool, bool, float]:
        """The higher the better: those that meet it by what is left to gain, then the nearest."""
        gain, met = (trial.psnr, trial.speed(self.cost))[:: 1 if self.psnr is None else -1]
        meets = self.meets(trial)
        return self.meets(trial, surely), meets, gain if meets else met

    def lifts(self, trial: Scored, best: Scored) -> bool:
        """Whether a trial has more quality to spend on speed, and is as fast but for noise."""
        if self.psnr is None or trial.psnr <= best.psnr:
            return False
        return trial.speed(self.cost) >= (1 - NOISE) * best.speed(self.cost)
