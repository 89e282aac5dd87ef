"""Why goals are missed, a paragraph for every operator that misses one, and what would close it.

Numbers that rows hold are taken from them; those in the texts below are of a profile.
"""

import textwrap

from report_cases import Result, by_operator
from report_operators import between

WRAP = {"break_on_hyphens": False, "break_long_words": False}
PROFILE = (
    "What explains it, and what would close it. Shares of an operator's time are of samples of one "
    "thread on FLUX's shape (`perf record -e cpu-clock`)."
)
COPY = """\
It reads and writes every byte once, as the compiled peer does, and a copy of these bytes takes as
long or longer. Only fewer bytes would close it: `collapse_forecasts` reads the factors of many
modules once for all steps of an interval."""
FEW_ROWS = """\
It reads 16 rows, so that a call is too short for bandwidth to bound it: {share} of it is the
operator, the rest torch's and Python's way to it. One call for the rows of several modules, or a
compiled cached step, would close it."""

CPU = {
    "carry_representatives": FEW_ROWS.format(share="55 %"),
    "gather_representatives": FEW_ROWS.format(share="57 %"),
    "collapse_forecasts": """\
In bfloat16 it computes more than it reads: 27 % is the conversion of factors, 43 % their
multiply-adds for five steps, 14 % the stores of the sums. Conversion within the multiply-adds, not
before them, would close part of it.""",
    "collapsed_residual": """\
Of as many modules as here, compiled code reads all factors side by side and keeps the sum in a
register; ours goes over a few tokens module by module, and 71 % is the loop that adds a module to
sums in cache. A loop over several modules at once would close it. A cached step whose timesteps are
known does not come here with many modules, for they are summed once an interval.""",
    "cluster_propagate": """\
It reads and writes every token once, as the compiled peer does; the clusters' rows stay in cache.
What a copy does not have is a row's choice and its rounding. A caller who adds the result to a
stream saves the write and a read with `propagate_residual`.""",
    "forecast_residual": COPY,
    "propagate_residual": COPY,
    "propagate_factors": """\
It reads and writes order 0 in place, once, as the compiled peer does. The paper's persistent rule
alone calls it; the default, which keeps factors as they are, closes it by not calling it.""",
    "taylor_update": """\
It reads a module's result and its factors once and writes the factors, as the compiled peer does,
and a copy of these bytes takes as long or longer. Only fewer bytes would close it: factors of a
lower precision than the stream's, which it takes.""",
    "taylor_forecast": """\
It reads every factor and writes the forecast once, as torch does: of two factors that is one
operation. Models do not call it, for the residual operators forecast on their way.""",
    "kmeans_assign": """\
bfloat16 tokens go through matrix tiles (AMX), where the CPU has them. A float32 centroid is three
bfloat16 there, so that no label is rounded: three times the products that are counted. Of the time
27 % are the tokens' squares, whose loop is the first to read them, 18 % their conversion for the
exact distance to the nearest centroid, and 14 % that distance: together more than the products.
Conversion within the distance's loop, not before it, would close part of it. Of float32 tokens 73 %
is one loop of eight multiply-adds, each of which loads its token's channel: nine loads for eight
multiply-adds. 16 centroids are one vector; tokens transposed sixteen at a time would let a load
serve several centroids. With 64 and 256 clusters, which the tables here leave out, it shows: on
these shapes torch's large float32 product makes it 0.83x to 1.06x of the best peer, bfloat16 1.3x
to 2.7x.""",
    "kmeans_step": """\
An assignment that adds tokens to their sums while they are in cache: what bounds `kmeans_assign`
bounds it, and the same would close it.""",
    "kmeans_fit": """\
Ten steps and an assignment: what bounds `kmeans_assign` bounds it, and the same would close it.""",
}
TWO_KERNELS = """\
It launches two kernels, the first of K rows alone, and reaches three quarters of copy speed where
tokens are many. These are its first runs on a GPU: no profile has been taken there, which would say
what closes it. The cache does not call it by default: a segment's tokens are done in one pass."""
GPU = {
    "cluster_propagate": TWO_KERNELS,
    "propagate_residual": TWO_KERNELS,
    "kmeans_fit": """\
This is its first run on a GPU, of `vector`, which `auto` took then: ten steps and an assignment,
each of which reads all tokens. Its peers in graphs were not measured with cold caches; with warm
ones compiled torch took 340 us in a graph where ours took 578. `matrix`, which `auto` takes now,
was not measured in a whole fit.""",
    "kmeans_step": """\
These are its first runs on a GPU, of `vector`, which `auto` took then. `matrix`, which it takes now
for up to 16 clusters, took 0.55 to 0.9 of that on the shapes measured, `"cluster"` more than
either, and compiled torch less than all. No profile has been taken there, which would say what
holds `matrix` back.""",
}


def missed(results: list[Result], on_cpu: bool) -> dict[str, list[Result]]:
    """Operators and what of them misses a goal."""
    return by_operator(r for r in results if r.on_cpu == on_cpu and r.meets is False)


def mismatches(results: list[Result]) -> list[str]:
    """Operators that miss a goal without a paragraph, and those with one that miss none."""
    found = []
    for device, reasons in (("CPU", CPU), ("GPU", GPU)):
        without = missed(results, device == "CPU")
        found += [f"{name} misses a goal on a {device}: why?" for name in without - reasons.keys()]
        found += [f"{name} misses no goal on a {device}" for name in reasons.keys() - without]
    return sorted(found)


def paragraphs(results: list[Result]) -> list[str]:
    lines = []
    for device, reasons in (("CPU", CPU), ("GPU", GPU)):
        without = missed(results, device == "CPU")
        if without:
            lines += [f"### Goals that are missed on a {device}", ""]
            lines += [*textwrap.wrap(PROFILE, 100, **WRAP), ""] if device == "CPU" else []
        for operator, rows in without.items():
            text = f"`{operator}`: {_measured(rows)}. {reasons.get(operator, 'Not said yet.')}"
            lines += textwrap.wrap(text, 100, initial_indent="- ", subsequent_indent="  ", **WRAP)
        lines += [""] if without else []
    return lines


def _measured(rows: list[Result]) -> str:
    """Of those that miss: what they reach of the peers, of the roofs, and what these would."""
    if not any(each.over_best for each in rows):
        return f"{between([each.ours for each in rows], '{:.0f}')} us"
    parts = [f"best peer / ours {between([each.over_best for each in rows], '{:.2f}x')}"]
    parts += [f"{between([each.at_roof for each in rows], '{:.2f}x')} at the roof"]
    parts += [f"{between([each.over('copy') for each in rows], '{:.0%}')} of copy speed"]
    beyond = sum(each.on_cpu and (each.at_roof or 0) < each.cpu_goal for each in rows)
    if beyond:
        parts[-2] += f" (in {beyond} of {len(rows)} a kernel there would miss the goal, too)"
    if any("gemm" in each.times for each in rows):
        parts += [f"{between([each.over('gemm') for each in rows], '{:.0%}')} of gemm speed"]
    return ", ".join(parts)
