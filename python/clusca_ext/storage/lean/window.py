"""The basis ``"window"``: components of the gates of the steps that a full step serves.

``S_jc = sum_m (V^T c_j g)_mc * F_m(T_j)``; V [W, C] spans the gates of the W cached steps whose
forecast takes something of ``T_j``, each times what it takes, row by row, as well as C vectors can.
"""

import torch
from torch import Tensor

from clusca_ext.storage.constants import DeviceConstants, moved
from clusca_ext.storage.lean.course import Course, Past
from clusca_ext.storage.lean.fit import AUTO_RANK, Fit, gram, ranks_of
from clusca_ext.storage.lean.foresight import Gates

# Cosine of a module's outputs at two full steps, one after the other. On the embedded model, at
# interval 4, 0.8 to 0.95 do alike; above, weights grow that rely on it too much.
ALIKE = 0.9
ROUNDING = (
    2**-9
)  # of sums that are kept in bfloat16: weights that would magnify it are not worth it


class Window:
    """Components of what a full step's module outputs are multiplied by at the steps it serves.

    These factors are ``c_j(s) g(s)``, of which V holds the components that leave the least. A
    cached step takes of all its sums what brings their total nearest to the forecast, where the
    outputs of one full step and of the one before are alike as ``ALIKE`` says: so what the sums of
    one leave out is made up for by those of the other.
    """

    merges = False

    def __init__(self, course: Course, gates: Gates, rank: int | str) -> None:
        self._course, self._gates = course, gates
        device = gates.values.device
        self._steps = [course.served(index) for index in range(len(course.full))]
        products = gram(gates.values).cpu()
        grams = [self._gram(products, (index, index)) for index in range(len(self._steps))]
        fits = [Fit.of(each) for each in grams if each.numel()]
        ranks = ranks_of(rank, fits) if fits else torch.ones(1, dtype=torch.int64, device="cpu")
        found = iter([fit.first(ranks) for fit in fits])
        none = torch.zeros(1, 0, int(ranks.max()), device="cpu"), torch.zeros(1, device="cpu")
        all_found = [next(found) if each.numel() else none for each in grams]
        self.error = max(float(error.max()) for _, error in all_found)
        used = self.count(course, int(ranks.max()))
        parts = [each[..., :used].double() for each, _ in all_found]
        self.added, self.kept = used, used * (course.order + 1)
        self.words = (
            f"window of {used} component{'s' * (used > 1)}, which leave {self.error:.3f} of the "
            "gates: timesteps and full steps are known"
        )
        self._parts = [moved(each.float(), device) for each in parts]  # [1 or B, W, C]
        self._table = moved(self._weights_of_run(parts, products), device)

    @staticmethod
    def count(course: Course, rank: int | str) -> int:
        """Sums of a full step; at most, where the rank is found."""
        served = (len(course.served(index)) for index in range(len(course.full)))
        return max(1, min(AUTO_RANK if rank == "auto" else int(rank), max(served)))

    def _shares(self, index: int) -> list[float]:
        """What the steps that a full step serves take of it. [W]"""
        return [self._course.shares(step)[index] for step in self._steps[index]]

    def _rows(self, index: int) -> list[int]:
        """Where the gates of these steps lie. [W]"""
        return [step - self._gates.first for step in self._steps[index]]

    def _gram(self, products: Tensor, of: tuple[int, int]) -> Tensor:
        """Products of two full steps' factors; of gates as they are, ``products``. [B, W, W']"""
        left, right = (products.new_tensor(self._shares(index)) for index in of)
        rows, columns = map(self._rows, of)
        return left[:, None] * products[:, rows][:, :, columns] * right

    def _weights_of_run(self, parts: list[Tensor], products: Tensor) -> Tensor:
        """Of all steps from the run's first on. float32 [S, J, 1 or B]"""
        course, C = self._course, self.added
        first, B = course.full[0], len(products)
        shape = course.num_steps - first, self.kept, B
        table = torch.zeros(shape, dtype=torch.float32, device="cpu")
        for step in range(first, course.num_steps):
            used = [] if step in course.full else sorted(course.shares(step))
            if not used:
                continue
            solved = self._nearest(step, used, parts, products)
            for place, index in enumerate(used):
                slot = index % (course.order + 1) * C
                table[step - first, slot : slot + C] = solved[:, place * C : (place + 1) * C].mT
        return table

    def _nearest(self, step: int, used: list[int], parts: list[Tensor], products: Tensor) -> Tensor:
        """What of the sums of some full steps is nearest to a step's forecast. [B, J]"""
        within = [[self._alike(products, i, j) for j in used] for i in used]
        normal = [
            torch.cat([parts[i].mT @ each @ parts[j] for j, each in zip(used, row, strict=True)], 2)
            for i, row in zip(used, within, strict=True)
        ]
        at = [self._steps[j].index(step) for j in used]
        wanted = [
            parts[i].mT @ sum(each[:, :, [k]] for k, each in zip(at, row, strict=True))
            for i, row in zip(used, within, strict=True)
        ]
        system = torch.cat(normal, 1)
        own = torch.cat([parts[i][:, k] for i, k in zip(used, at, strict=True)], 1).unsqueeze(-1)
        left = torch.cat(wanted, 1) - system @ own  # nothing where components are enough
        system = system + (ROUNDING**2 * system.diagonal(dim1=1, dim2=2)).diag_embed()
        # Components that are not there, or of next to nothing, are left out.
        inverse = torch.linalg.pinv(system, rtol=1e-10, hermitian=True)
        nearest: Tensor = own + inverse @ left
        return nearest.squeeze(-1)

    def _alike(self, products: Tensor, i: int, j: int) -> Tensor:
        """Products of the summands of two full steps, as far as outputs are alike. [B, W, W']"""
        return ALIKE ** abs(i - j) * self._gram(products, (i, j))

    def phi(self, index: int) -> Tensor | None:
        steps = self._steps[index]
        if not steps:
            shape = self.added, *self._gates.values.shape[1:]
            return self._gates.values.new_zeros(shape, dtype=torch.float32)
        gates, part = self._gates.at(steps).float(), self._parts[index]
        shares = torch.tensor(self._shares(index), dtype=torch.float32, device="cpu")
        return torch.einsum("bwc,w,wbmd->cbmd", part, moved(shares, gates.device), gates)

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
