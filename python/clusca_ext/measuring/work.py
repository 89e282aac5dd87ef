"""The ways an op's work is done: ours, plain torch, compiled torch, and what else an op names; and
two roofs over all of them: a copy of as many bytes, and a matrix product of as many multiply-adds.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import torch

from clusca_ext.measuring.shapes import Case
from clusca_ext.measuring.timing import is_gpu

Function = Callable[..., Any]
Call = Callable[[], object]


def names(case: Case, variants: Iterable[str]) -> list[str]:
    """What a case is measured with. Compiled peers belong to some cases, and the matrix product to
    k-means: of l1 on a GPU, where no tensor core adds up differences, it would say nothing."""
    on_gpu = is_gpu(case.device)
    compiled = ("compile", "graph") if on_gpu else ("compile",)
    has_product = case.metric == "l2" or (case.is_kmeans and not on_gpu)
    return [
        "clusca",
        "torch",
        *(compiled if case.compared else ()),
        "copy",
        *(("gemm",) if has_product else ()),
        *variants,
    ]


@dataclass(frozen=True)
class Work:
    """What is timed: functions with the same arguments and the same result."""

    ours: Function
    eager: Function  # the best plain torch
    args: tuple[Any, ...]  # the first one is what an op without a result changes
    bytes_moved: int  # what a pass must read and write at least
    passes: int = 1  # how many passes there must be
    fusible: Function | None = None  # a form of `eager` that torch.compile makes more of
    in_parts: Callable[[Function], Function] | None = None  # one whose parts only are compiled
    comparable: bool = True  # whether the results must agree
    multiply_adds: int = 0  # what a pass must compute at least, where that can be what bounds it
    variants: Mapping[str, Function] = field(default_factory=dict)  # more of ours, more peers

    def call(self, impl: str, case: Case) -> Call:
        if impl == "copy":
            return copying(self.bytes_moved, self.passes, case.device)
        if impl == "gemm":
            return multiplying(self.multiply_adds, self.passes, self.args[0].dtype, case.device)
        function = self.function(impl, case)
        if self.comparable and impl != "clusca":
            same_answer(self.ours, function, self.args)
        call = partial(function, *self.args)
        return graphed(call) if impl.endswith("graph") else call

    def function(self, impl: str, case: Case) -> Function:
        if impl == "clusca":
            return self.ours
        if impl == "torch":
            return self.eager
        if impl in self.variants:
            return self.variants[impl]
        return compiled(self.fusible or self.eager, self.in_parts, case)


@lru_cache(maxsize=1)
def compiled(function: Function, in_parts: Function | None, case: Case) -> Function:
    """``function``, or its parts, compiled for a case's static shapes without any way back."""
    torch.compiler.reset()
    mode = "max-autotune-no-cudagraphs" if is_gpu(case.device) else None
    compile = partial(torch.compile, fullgraph=True, dynamic=False, mode=mode)
    return in_parts(compile) if in_parts else compile(function)


def graphed(call: Call) -> Call:
    """``call`` as the replay of a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def copying(bytes_moved: int, passes: int, device: str) -> Call:
    """``passes`` device copies, each of which reads half of ``bytes_moved`` and writes half."""
    words = max(1, bytes_moved // 8)
    source = torch.ones(words, dtype=torch.float32, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        for _ in range(passes):
            target.copy_(source)

    return copy


def multiplying(multiply_adds: int, passes: int, dtype: torch.dtype, device: str) -> Call:
    """``passes`` matrix products of so many multiply-adds: the library's best.

    In float32 on a CPU. On a GPU in the tokens' dtype, and near to a cube: a product with a small
    matrix would wait for memory.
    """
    inner = 256
    if is_gpu(device):
        inner = 64 * max(4, min(64, round(multiply_adds ** (1 / 3) / 64)))
    made: dict[str, Any] = {"device": device, "dtype": dtype if is_gpu(device) else torch.float32}
    left = torch.ones(max(1, multiply_adds // inner**2), inner, **made)
    right = torch.ones(inner, inner, **made)
    out = torch.empty_like(left)

    def multiply() -> None:
        for _ in range(passes):
            torch.mm(left, right, out=out)

    return multiply


def same_answer(ours: Function, theirs: Function, args: tuple[Any, ...]) -> None:
    """Fail unless both compute the same from the same, up to the rounding of a half type.

    Labels may differ where two centroids are equally far. What a peer does not compute is None.
    """
    for mine, other in zip(_answer(ours, args), _answer(theirs, args), strict=True):
        if other is None:
            continue
        assert mine is not None, "ours computes all of it"
        if mine.is_floating_point():
            error = (mine.float() - other.float()).norm() / mine.float().norm()
            assert error < 0.03, f"{theirs} differs by {error:.1%}"
        else:
            agreement = torch.eq(mine, other).float().mean()
            assert agreement > 0.97, f"{theirs} agrees in {agreement:.1%} only"


def _answer(function: Function, args: tuple[Any, ...]) -> tuple[torch.Tensor | None, ...]:
    args = tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in args)
    result = function(*args)
    result = args[0] if result is None else result
    if isinstance(result, list):  # slices of what ours keeps in one tensor
        result = torch.stack(result)
    return (result,) if isinstance(result, torch.Tensor) else result
