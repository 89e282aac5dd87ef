"""The basis ``"window"``: components of the gates of the steps that a full step serves.

``S_jc = sum_m (V^T g)_mc * F_m(T_j)``, weights ``c_j(s) V(s)``; V [W, C] spans the gates of the W
cached steps whose forecast takes something of ``T_j``, row by row, as well as C vectors can.
"""

import torch
from torch import Tensor

from clusca_ext.storage.constants import DeviceConstants, moved
from clusca_ext.storage.lean.course import Course, Past
from clusca_ext.storage.lean.fit import AUTO_RANK, Fit, gram, ranks_of
from clusca_ext.storage.lean.foresight import Gates


class Window:
    """Components of the gates of the steps that a full step serves, for every row."""

    merges = False

    def __init__(self, course: Course, gates: Gates, rank: int | str) -> None:
        self._course, self._gates = course, gates
        device = gates.values.device
        served = [course.served(index) for index in range(len(course.full))]
        fits = _fits([gram(gates.at(steps)) for steps in served if steps])
        ranks = ranks_of(rank, fits) if fits else torch.ones(1, dtype=torch.int64, device="cpu")
        found = iter([fit.first(ranks) for fit in fits])
        none = torch.zeros(1, 0, int(ranks.max()), device="cpu"), torch.zeros(1, device="cpu")
        all_found = [next(found) if steps else none for steps in served]
        self.error = max(float(error.max()) for _, error in all_found)
        self._steps = served
        used = self.count(course, int(ranks.max()))
        parts = [each[..., :used] for each, _ in all_found]
        self.added, self.kept = used, used * (course.order + 1)
        self.words = (
            f"window of {used} component{'s' * (used > 1)}, which leave {self.error:.3f} of the "
            "gates: timesteps and full steps are known"
        )
        self._parts = [moved(each.float(), device) for each in parts]  # [1 or B, W, C]
        self._table = self._weights_of_run(parts, device)

    @staticmethod
    def count(course: Course, rank: int | str) -> int:
        """Sums of a full step; at most, where the rank is found."""
        served = (len(course.served(index)) for index in range(len(course.full)))
        return max(1, min(AUTO_RANK if rank == "auto" else int(rank), max(served)))

    def _weights_of_run(self, parts: list[Tensor], device: torch.device) -> Tensor:
        """Of all steps from the run's first on. [S, J, 1 or B]"""
        course, C = self._course, self.added
        first, rows = course.full[0], max(len(each) for each in parts)
        shape = course.num_steps - first, self.kept, rows
        table = torch.zeros(shape, dtype=torch.float32, device="cpu")
        for index, steps in enumerate(self._steps):
            slot = index % (course.order + 1) * C
            for row, step in enumerate(steps):
                share = course.shares(step)[index]
                table[step - first, slot : slot + C] = share * parts[index][:, row].mT.float()
        return moved(table, device)

    def phi(self, index: int) -> Tensor | None:
        steps = self._steps[index]
        if not steps:
            shape = self.added, *self._gates.values.shape[1:]
            return self._gates.values.new_zeros(shape, dtype=torch.float32)
        gates = self._gates.at(steps).float()
        return torch.einsum("bwc,wbmd->cbmd", self._parts[index], gates)

    def fresh(self, index: int) -> None:
        return None

    def weights(self, step: int, on: DeviceConstants) -> Tensor:
        return self._table[step - self._course.full[0]]


class WindowOfBound:
    """The same where a schedule decides as the run goes, but full steps have bounded distances.

    V is of all steps that may take something of a full step, ``(O + 1) * max_interval``, found when
    it begins: on a device the host waits for that.
    """

    merges = False

    def __init__(self, past: Past, gates: Gates, rank: int | str, max_interval: int) -> None:
        self._past, self._gates = past, gates
        self._rank, self._bound = rank, max_interval
        self._ranks: Tensor | None = None  # of every row so far: they do not fall
        self.added = AUTO_RANK if rank == "auto" else int(rank)
        self.kept = self.added * (past.order + 1)
        self.words = (
            f"window of {self.added} component{'s' * (self.added > 1)} over the next "
            f"{(past.order + 1) * max_interval} steps: timesteps are known, and max_interval"
        )
        self._parts: dict[int, Tensor] = {}  # of the full steps in use [1 or B, W, C]

    def phi(self, index: int) -> Tensor | None:
        gates, first = self._gates.values, self._past.full[index] + 1
        reach = (self._past.order + 1) * self._bound
        steps = list(range(first, min(first + reach, self._gates.first + len(gates))))
        self._parts.pop(index - self._past.order - 1, None)
        if not steps:
            return gates.new_zeros((self.added, *gates.shape[1:]), dtype=torch.float32)
        window = self._gates.at(steps)
        fit = Fit.of(gram(window).cpu())
        ranks = ranks_of(self._rank, [fit])
        self._ranks = ranks if self._ranks is None else self._ranks.maximum(ranks)
        shape = *window.shape[1::-1], self.added
        parts = torch.zeros(shape, dtype=torch.float64, device="cpu")
        kept, _ = fit.first(self._ranks)
        parts[..., : kept.shape[-1]] = kept
        self._parts[index] = moved(parts.float(), gates.device)
        return torch.einsum("bwc,wbmd->cbmd", self._parts[index], window.float())

    def fresh(self, index: int) -> None:
        return None

    def weights(self, step: int, on: DeviceConstants) -> Tensor:
        C, shares = self.added, self._past.shares(step)
        made = on.of((0.0,)).repeat(self.kept, len(next(iter(self._parts.values()))))
        for index, share in shares.items():
            row = step - self._past.full[index] - 1
            if row >= self._parts[index].shape[1]:
                raise ValueError(
                    f"a schedule with max_interval={self._bound} must decide a full step at least "
                    f"as often, got none from step {self._past.full[-1]} to {step}"
                )
            slot = index % (self._past.order + 1) * C
            made[slot : slot + C] = share * self._parts[index][:, row].mT
        return made


def _fits(products: list[Tensor]) -> list[Fit]:
    """Those of several windows: the host waits once, for all of them."""
    if not products:
        return []
    flat = torch.cat([each.flatten() for each in products]).cpu()
    parts = flat.split([each.numel() for each in products])
    return [Fit.of(part.view(each.shape)) for part, each in zip(parts, products, strict=True)]
