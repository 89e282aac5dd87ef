"""What is measured: the token shapes of named models, and the choices an op has on top of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from timing import DEVICE


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
DTYPES = (
    (torch.bfloat16, torch.float16, torch.float32)
    if DEVICE == "cuda"
    else (torch.bfloat16, torch.float32)
)
CLUSTERS = (16, 256, 64)  # the numbers of clusters an op is measured with, as a choice K


@dataclass(frozen=True)
class Case:
    """One row of a table: where an op is measured, and how it is called there."""

    model: Model
    dtype: torch.dtype
    K: int = 16
    O: int | None = None  # noqa: E741  the forecast's order: O + 1 factors
    M: int | None = None  # modules
    S: int | None = None  # steps
    C: int | None = None  # sums of lean storage
    I: int | None = None  # noqa: E741  iterations
    metric: str | None = None
    rule: str | None = None
    norm: str | None = None
    choice: str = ""  # which of these is not an op's first one

    @property
    def quick(self) -> bool:
        """Whether it belongs to the few that show that everything runs."""
        return self.model.quick and (self.model.detailed or self.dtype == DTYPES[0])

    @property
    def compared(self) -> bool:
        """Whether compiled and graphed peers belong to it; elsewhere there are ours, plain torch
        and the roofs, for what is compiled takes seconds."""
        few = self.dtype in (torch.bfloat16, torch.int32) and self.choice in ("", "K")
        return (few or DEVICE == "cpu") and (self.K == 16 or (self.K == 256 and self.is_kmeans))

    @property
    def is_kmeans(self) -> bool:
        return self.metric is not None

    @property
    def shape(self) -> str:
        m = self.model
        words = [m.name, f"B{m.B}", f"N{m.N}", f"D{m.D}", f"K{self.K}"]
        words += [] if self.O is None else [f"O{self.O}"]
        words += [] if self.M is None else [f"M{self.M}"]
        words += [] if self.S is None else [f"S{self.S}"]
        words += [] if self.C is None else [f"C{self.C}"]
        words += [] if self.I is None else [f"I{self.I}"]
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


def cases(dtypes: Sequence[torch.dtype] = DTYPES, **choices: Sequence[object]) -> list[Case]:
    """All cases of an op: models x dtypes x choices, of these one at a time off the first.

    On a GPU every model has all numbers of clusters; the other choices only those in detail have.
    """
    first = {name: values[0] for name, values in choices.items()}
    others = [(name, v) for name, values in choices.items() for v in values[1:]]
    variants = [first, *(first | {name: v, "choice": name} for name, v in others)]
    on_gpu = DEVICE == "cuda"
    found = [
        Case(model, dtype, **variant)
        for variant in variants
        for model in MODELS
        if (model.on_cpu or on_gpu)
        and (model.detailed or variant is first or (on_gpu and variant["choice"] == "K"))
        for dtype in dtypes
    ]
    return [case for case in found if case.K == 16 or case.model.N >= 4 * case.K]
