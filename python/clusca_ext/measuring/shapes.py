"""What is measured: the token shapes of named models, and the choices an op has on top of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from clusca_ext.measuring.timing import DEVICE, is_gpu


@dataclass(frozen=True)
class Model:
    name: str
    B: int  # 2 where guidance runs both branches in one batch
    N: int
    D: int
    on_cpu: bool = True
    quick: bool = False
    detailed: bool = False  # all choices of an op are measured here, elsewhere the first of each


MODELS = (  # in the order of what they are worth, should time run out
    Model("flux-1024", 1, 4096, 3072, detailed=True),
    Model("hunyuan-720p-129", 1, 118800, 3072, on_cpu=False, detailed=True),
    Model("dit-xl-512", 2, 1024, 1152, detailed=True),
    Model("wan-14b-720p-81", 1, 75600, 5120, on_cpu=False),
    Model("dit-xl-256", 2, 256, 1152, quick=True),
    Model("hunyuan-480p-65", 1, 20400, 3072, on_cpu=False),
    Model("dit-xl-512-batch", 32, 1024, 1152, on_cpu=False),
    Model("dit-xl-256-batch", 32, 256, 1152, on_cpu=False),
    Model("digits-demo", 32, 256, 128, quick=True, detailed=True),
)


def dtypes_of(device: str) -> tuple[torch.dtype, ...]:
    """Those that are measured on a device, the first of them in every detail."""
    both = torch.bfloat16, torch.float32
    return (torch.bfloat16, torch.float16, torch.float32) if is_gpu(device) else both


DTYPES = dtypes_of(DEVICE)
CLUSTERS = (16, 256, 64)  # the numbers of clusters an op is measured with, as a choice K


@dataclass(frozen=True)
class Case:
    """One row of a table: where an op is measured, and how it is called there."""

    model: Model
    dtype: torch.dtype
    K: int = 16
    O: int = 0  # noqa: E741  the forecast's order: O + 1 factors; of these, 0 and "": it has none
    M: int = 0  # modules
    S: int = 0  # steps
    C: int = 0  # sums of lean storage
    I: int = 0  # noqa: E741  iterations
    metric: str = ""
    rule: str = ""
    norm: str = ""
    choice: str = ""  # which of these is not an op's first one
    device: str = DEVICE

    @property
    def quick(self) -> bool:
        """Whether it belongs to the few that show that everything runs."""
        return self.model.quick and (self.model.detailed or self.dtype == dtypes_of(self.device)[0])

    @property
    def compared(self) -> bool:
        """Whether compiled and graphed peers belong to it; elsewhere there are ours, plain torch
        and the roofs, for what is compiled takes seconds."""
        few = self.dtype in (torch.bfloat16, torch.int32) and self.choice in ("", "K")
        return (few or not is_gpu(self.device)) and (
            self.K == 16 or (self.K == 256 and self.is_kmeans)
        )

    @property
    def is_kmeans(self) -> bool:
        return bool(self.metric)

    @property
    def shape(self) -> str:
        m = self.model
        words = [m.name, f"B{m.B}", f"N{m.N}", f"D{m.D}", f"K{self.K}"]
        words += [f"O{self.O}"] if self.O else []
        words += [f"M{self.M}"] if self.M else []
        words += [f"S{self.S}"] if self.S else []
        words += [f"C{self.C}"] if self.C else []
        words += [f"I{self.I}"] if self.I else []
        return " ".join(words + [word for word in (self.metric, self.rule, self.norm) if word])

    @property
    def multiply_adds(self) -> int:
        """Of the distances from every token to every centroid."""
        return self.model.B * self.model.N * self.model.D * self.K

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @property
    def label(self) -> str:
        words = [word for word in self.shape.split() if word[0] not in "BND"]
        return "-".join([*words, self.dtype_name])


def cases(
    dtypes: Sequence[torch.dtype] | None = None, device: str | None = None, **choices: Any
) -> list[Case]:
    """All cases of an op: models x dtypes x choices, of these one at a time off the first.

    On a GPU every model has all numbers of clusters; the other choices only those in detail have.
    """
    device = DEVICE if device is None else device
    first = {name: values[0] for name, values in choices.items()}
    others = [(name, v) for name, values in choices.items() for v in values[1:]]
    variants = [first, *(first | {name: v, "choice": name} for name, v in others)]
    on_gpu = is_gpu(device)
    found = [
        Case(model, dtype, device=device, **variant)
        for variant in variants
        for model in MODELS
        if (model.on_cpu or on_gpu)
        and (model.detailed or variant is first or (on_gpu and variant["choice"] == "K"))
        for dtype in (dtypes_of(device) if dtypes is None else dtypes)
    ]
    return [case for case in found if case.K == 16 or case.model.N >= 4 * case.K]
