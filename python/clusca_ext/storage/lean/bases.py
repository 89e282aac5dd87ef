"""Temporal bases of the gates: what full steps sum, and what cached steps take of it.

With the gates ``g_m(s)`` of M modules at step ``s``, their outputs ``F_m(T_j)`` at full step
``T_j`` and the shares ``c_j(s)`` of a forecast (``course.py``), a cached step adds
``sum_j c_j(s) sum_m g_m(s) F_m(T_j)`` to the stream. A basis sums

    S_jc = sum_m phi_jmc * F_m(T_j)                            while T_j runs
    x   += sum_jc weights_jc(s) * S_jc                         at a cached step

    window      phi = V^T c_j g over the cached steps that use T_j,   weights fitted (window.py)
    exact       phi = c_j(s') g(s') for each coming step s', summed over j,   weights = 1 for s
    gated       phi = g(T_j),                                     weights = c_j(s)

so that window is exact but for the gates' part outside of V, gated for gates that stand still.
Slots: full step j of a run writes the C sums of slot ``j mod (O + 1)``.
"""

from typing import Protocol

import torch
from torch import Tensor

from clusca_ext.storage.constants import DeviceConstants
from clusca_ext.storage.lean.course import Course, Past, Places
from clusca_ext.storage.lean.foresight import Gates


class Basis(Protocol):
    """What a run's sums are weighted by.

    Attributes:
        words: What it is, for a summary.
        added: Sums C that one full step adds to.
        kept: Sums J that a cached step reads.
        merges: Whether full steps add to sums that earlier ones have begun.
    """

    words: str
    added: int
    kept: int
    merges: bool

    def phi(self, index: int) -> Tensor | None:
        """Weights of every module's output at a full step of the run, by index; None: blocks see
        them as it runs. float32 [C, 1 or B, M, D]"""

    def fresh(self, index: int) -> list[int] | None:
        """Places of the C sums that a full step begins anew; None: all of them."""

    def weights(self, step: int, on: DeviceConstants) -> Tensor:
        """Weights of a cached step. float32 [J, 1 or B]"""


class Gated:
    """Gates of the full step, which blocks say while it runs."""

    merges = False

    def __init__(self, past: Past, why: str) -> None:
        self._past, self.words = past, f"gated: {why}"
        self.added, self.kept = 1, past.order + 1

    def phi(self, index: int) -> Tensor | None:
        return None

    def fresh(self, index: int) -> None:
        return None

    def weights(self, step: int, on: DeviceConstants) -> Tensor:
        return on.of(by_slot(self._past, step)).view(-1, 1)


class Exact:
    """One sum for each coming step, to which every full step that it is made of adds its part."""

    merges = True

    def __init__(self, course: Course, gates: Gates) -> None:
        self.words = "exact: timesteps and full steps are known"
        self._course, self._gates = course, gates
        begun = [course.begun(index) for index in range(len(course.full))]
        self.added = self.kept = self.count(course)
        places = Places(self.kept)
        self._fresh = [
            places.assign(now, steps) for now, steps in zip(course.full, begun, strict=True)
        ]
        self._place = dict(places.ever)

    @staticmethod
    def count(course: Course) -> int:
        """Sums it takes."""
        return max(1, *(len(course.begun(index)) for index in range(len(course.full))))

    def phi(self, index: int) -> Tensor | None:
        steps = self._course.served(index)
        gates = self._gates.values
        phi = gates.new_zeros((self.added, *gates.shape[1:]), dtype=torch.float32)
        for step in steps:
            share = self._course.shares(step)[index]
            phi[self._place[step]] = share * gates[step - self._gates.first]
        return phi

    def fresh(self, index: int) -> list[int]:
        return self._fresh[index]

    def weights(self, step: int, on: DeviceConstants) -> Tensor:
        place = self._place.get(step)
        return on.of(tuple(float(j == place) for j in range(self.kept))).view(-1, 1)


def by_slot(past: Past, step: int) -> tuple[float, ...]:
    """The shares of a step's forecast, by the slot of what they are of."""
    slots = [0.0] * (past.order + 1)
    for index, share in past.shares(step).items():
        slots[index % len(slots)] = share
    return tuple(slots)
