"""What a cache did in its last run, as data and as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import mean, median

from clusca_ext.cache import Cache
from clusca_ext.correction import is_corrected


@dataclass(frozen=True)
class Summary:
    """The last run of a cache.

    Attributes:
        steps: Steps so far, of the conditional branch where guidance calls the model twice.
        branches: Branches of guidance that called the model.
        full: Steps on which every module was computed.
        cached: Steps on which none was, representatives aside.
        partial: Steps on which some were.
        full_by_sample: Full steps of each sample, where a schedule decides for each; else empty.
        tokens: Tokens N of a sample; 0 before they are known, by the first full step at the latest.
        representatives: Tokens computed in each MLP of a corrected step, for each sample.
        corrected: Cached and partial steps of which tokens were corrected.
        seconds: Duration of a step, by kind: the median of full ones, the mean of others, of which
            the first after a full one may prepare those that follow.
        total_seconds: All steps together.
        speedup: What the same steps would have taken, had all been full, over ``total_seconds``.
        storage: Where they lie, and why.
        cache_bytes: Memory of the cached features, of their sums for coming steps, of the planned
            modulation, and of text that is kept for masks.
        clusterings: How often tokens were clustered.
        num_clusters: Into how many clusters.
        kmeans_iterations: Mean number of iterations of a clustering.
        run_known_by: How runs and steps are told apart.
        num_steps: Length of the run; None where it is not known.
        cached_step: ``"one CUDA graph"``, or ``"eager: "`` and why.
    """

    steps: int
    branches: int
    full: int
    cached: int
    partial: int
    full_by_sample: tuple[int, ...]
    tokens: int
    representatives: int
    corrected: int
    seconds: dict[str, float]
    total_seconds: float
    speedup: float | None
    storage: str
    cache_bytes: int
    clusterings: int
    num_clusters: int
    kmeans_iterations: float | None
    run_known_by: str
    num_steps: int | None
    cached_step: str

    def __str__(self) -> str:
        def ms(kind: str) -> str:
            return f"{self.seconds[kind] * 1000:.1f} ms" if kind in self.seconds else "-"

        tokens = f"{self.representatives} of {self.tokens} in an MLP" if self.tokens else "-"
        if 0 < self.corrected < self.cached + self.partial:
            tokens += f", at {self.corrected} of {self.cached + self.partial} cached steps"
        length = "not known" if self.num_steps is None else f"{self.num_steps}"
        rows = [
            ("steps", f"{self.steps} of {length}, told by {self.run_known_by}"),
            ("full", f"{self.full}, {ms('full')} each"),
            ("cached", f"{self.cached}, {ms('cached')} each"),
            ("cached step", self.cached_step),
            ("tokens computed", tokens),
            ("speed-up", "-" if self.speedup is None else f"{self.speedup:.2f}x over full steps"),
            ("cache", f"{self.cache_bytes / 2**20:.1f} MiB, {self.storage}"),
        ]
        if self.partial:
            rows.insert(4, ("partial", f"{self.partial}, {ms('partial')} each"))
        if self.full_by_sample:
            least, most = min(self.full_by_sample), max(self.full_by_sample)
            rows.insert(2, ("by sample", f"{least} to {most} full, of {len(self.full_by_sample)}"))
        if self.kmeans_iterations is not None:
            rows.append(("k-means", f"{self.kmeans_iterations:.1f} iterations a full step"))
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def summarize(cache: Cache) -> Summary:
    branch = cache.leader
    durations = cache.times.seconds() if branch.kinds else {}
    total = sum(sum(values) for values in durations.values())
    full = median(durations["full"]) if "full" in durations else None
    count = sum(len(values) for values in durations.values())
    branches = cache.branches.values()
    clusters = branch.clusters
    fits = [] if clusters is None else [fit.float().mean().item() for fit in clusters.iterations]
    return Summary(
        steps=len(branch.kinds),
        branches=len(branches),
        full=branch.kinds.count("full"),
        cached=branch.kinds.count("cached"),
        partial=branch.kinds.count("partial"),
        full_by_sample=tuple(each.kinds.count("full") for each in cache.by_sample),
        tokens=branch.tokens or branch.storage.tokens,
        representatives=clusters.num_computed if clusters is not None else 0,
        corrected=_corrected(branch.kinds, getattr(cache.config.corrector, "every", 0)),
        seconds={
            kind: (median if kind == "full" else mean)(values) for kind, values in durations.items()
        },
        total_seconds=total,
        speedup=None if full is None or not total else full * count / total,
        storage=branch.storage.words,
        cache_bytes=sum(
            one.plan.bytes() + one.storage.bytes() + one.seen.text_bytes() for one in branches
        ),
        clusterings=len(fits),
        num_clusters=clusters.num_clusters if fits and clusters is not None else 0,
        kmeans_iterations=sum(fits) / len(fits) if fits else None,
        run_known_by=branch.runs.known_by,
        num_steps=branch.runs.num_steps,
        cached_step=cache.graphs.says,
    )


def _corrected(kinds: Sequence[str], every: int) -> int:
    """Steps that were corrected, where each ``every``-th of an interval is; 0: none is."""
    count, last_full = 0, -1
    for step, kind in enumerate(kinds):
        if kind == "full":
            last_full = step
        elif every:
            count += is_corrected(step - last_full, every)
    return count


def combine(parts: Sequence[Summary]) -> Summary:
    """The summaries of models that shared a run's steps, as one."""
    if len(parts) == 1:
        return parts[0]
    total = sum(part.total_seconds for part in parts)
    saved = [part.speedup * part.total_seconds for part in parts if part.speedup is not None]
    kinds = sorted({kind for part in parts for kind in part.seconds})
    fits = [part.kmeans_iterations for part in parts if part.kmeans_iterations is not None]
    by_sample = [part.full_by_sample for part in parts]
    lengths = [part.num_steps for part in parts if part.num_steps is not None]
    return Summary(
        steps=sum(part.steps for part in parts),
        branches=max(part.branches for part in parts),
        full=sum(part.full for part in parts),
        cached=sum(part.cached for part in parts),
        partial=sum(part.partial for part in parts),
        # One that was not called yet has none.
        full_by_sample=tuple(map(sum, zip_longest(*by_sample, fillvalue=0))),
        tokens=max(part.tokens for part in parts),
        representatives=max(part.representatives for part in parts),
        corrected=sum(part.corrected for part in parts),
        seconds={
            kind: mean(part.seconds[kind] for part in parts if kind in part.seconds)
            for kind in kinds
        },
        total_seconds=total,
        speedup=sum(saved) / total if len(saved) == len(parts) and total else None,
        storage=parts[0].storage,
        cache_bytes=sum(part.cache_bytes for part in parts),
        clusterings=sum(part.clusterings for part in parts),
        num_clusters=max(part.num_clusters for part in parts),
        kmeans_iterations=mean(fits) if fits else None,
        run_known_by=parts[0].run_known_by,
        num_steps=sum(lengths) if len(lengths) == len(parts) else None,
        cached_step="; ".join(dict.fromkeys(part.cached_step for part in parts)),
    )
