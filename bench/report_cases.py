"""Operators' rows, put together by case: what was measured of each, and which goals it has."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

MISSING = "not measured"
FORMS = ("vector", "matrix", "cluster")  # kernels of ours that are measured one by one
PEERS = ("torch", "compile", "graph", "torch-graph", "flash", "flash-graph")
GRAPHS = {"graph", "torch-graph", "flash-graph"}
ROOFS = ("copy", "gemm")
CPU_GOAL = {"bfloat16": 3.0}  # best peer / ours; other dtypes:
OTHER_GOAL = 1.5
SHOWN = {
    True: {"dit-xl-512", "flux-1024"},
    False: {"dit-xl-512", "flux-1024", "hunyuan-720p-129", "wan-14b-720p-81"},
}
CHOICES = {"K64", "O2", "O4", "S3", "C5", "l1"}  # beside an operator's first ones, as are
OTHER_RULE = {"cluster_propagate": "delta", "propagate_residual": "value"}


@dataclass(frozen=True)
class GpuGoal:
    """What is asked of an operator on a GPU, of shapes with these words."""

    operator: str
    words: frozenset[str] = frozenset()
    of_copy: float = 0.0
    over: dict[str, float] = field(default_factory=dict)  # a peer's time over ours
    microseconds: float = float("inf")


GPU_GOALS = (
    *(
        GpuGoal(operator, of_copy=0.9, over={"graph": 1.4})
        for operator in (
            "cluster_propagate",
            "forecast_residual",
            "propagate_residual",
            "collapsed_residual",
        )
    ),
    GpuGoal("kmeans_step", frozenset({"hunyuan-720p-129", "K16", "l2"}), of_copy=0.85),
    GpuGoal(
        "kmeans_fit",
        frozenset({"flux-1024", "K16", "l2"}),
        over={"torch-graph": 2.0, "flash": 3.0},
        microseconds=110,
    ),
)


@dataclass(frozen=True)
class Result:
    """A case on a device: medians in microseconds, and why some implementations have none."""

    operator: str
    shape: str
    dtype: str
    origin: tuple[str, str, str]  # device, commit, torch
    times: dict[str, float]
    notes: dict[str, str]

    @property
    def on_cpu(self) -> bool:
        return is_cpu({"device": self.origin[0]})

    @property
    def ours(self) -> float | None:
        return self.times.get("clusca")

    @property
    def best_peer(self) -> str | None:
        """Of a GPU only where a graph was measured: plain torch alone is not the best there is."""
        if not (self.on_cpu or GRAPHS & self.times.keys()):
            return None
        return min((p for p in PEERS if p in self.times), key=self.times.__getitem__, default=None)

    @property
    def over_best(self) -> float | None:
        """The best peer's time over ours."""
        return self.over(self.best_peer)

    def over(self, name: str | None) -> float | None:
        """Of a roof: our share of its speed."""
        return self.times[name] / self.ours if self.ours and name in self.times else None

    @property
    def roof(self) -> str | None:
        """What bounds it: the slower of the roofs."""
        return max((r for r in ROOFS if r in self.times), key=self.times.__getitem__, default=None)

    @property
    def at_roof(self) -> float | None:
        """What a kernel at the roof would reach of the best peer's time."""
        peer, roof = self.best_peer, self.roof
        return self.times[peer] / self.times[roof] if peer and roof else None

    @property
    def cpu_goal(self) -> float:
        return CPU_GOAL.get(self.dtype, OTHER_GOAL)

    @property
    def meets(self) -> bool | None:
        """Its goal; None where it has none, or was not measured."""
        if self.on_cpu:
            return None if self.over_best is None else self.over_best >= self.cpu_goal
        words = {*self.shape.split()}
        for goal in GPU_GOALS:
            if goal.operator == self.operator and goal.words <= words and self.ours:
                asked = goal.over | ({"copy": goal.of_copy} if goal.of_copy else {})
                known = {name: self.over(name) >= asked[name] for name in asked.keys() & self.times}
                reached = self.ours <= goal.microseconds and all(known.values())
                return None if reached and len(known) < len(asked) else reached
        return None

    @property
    def is_typical(self) -> bool:
        """Whether the page has it: few models, the first of an operator's choices; of GPUs one
        dtype, and the caches as a model leaves them."""
        words = set(self.shape.split())
        if not words & SHOWN[self.on_cpu] or words & CHOICES:
            return False
        other_rule = OTHER_RULE.get(self.operator) in words
        if self.on_cpu:  # propagate_residual was measured there when "value" came first
            return "K256" not in words and (not other_rule or self.operator == "propagate_residual")
        if other_rule:
            return False
        has_clusters = "K256" not in words or "l2" in words
        return "cold" in words and self.dtype in ("bfloat16", "int32") and has_clusters


def is_cpu(row: dict) -> bool:
    return row["device"].endswith("cores")


def results_of(rows: Iterable[dict]) -> list[Result]:
    """Of operators' rows, whatever else there is."""
    found: dict[tuple, Result] = {}
    for row in rows:
        if "impl" not in row or not ("median_us" in row or _is_note(row)):
            continue
        shape = row["shape"].removesuffix(" warm") if is_cpu(row) else row["shape"]
        origin = row["device"], row["commit"], row["torch"]
        key = row["bench"], shape, row["dtype"], origin
        each = found.setdefault(key, Result(*key, {}, {}))
        if "median_us" in row:
            each.times[row["impl"]] = row["median_us"]
        else:
            each.notes[row["impl"]] = row["note"]
    return list(found.values())


def _is_note(row: dict) -> bool:
    """Of an operator: whole runs have notes, too."""
    return "note" in row and row["impl"] in PEERS


def by_operator(results: Iterable[Result]) -> dict[str, list[Result]]:
    grouped: dict[str, list[Result]] = defaultdict(list)
    for each in results:
        grouped[each.operator].append(each)
    return grouped
