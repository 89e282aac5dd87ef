"""Prints the results as markdown: python bench/report.py [--write] [RESULTS.json ...]

With --write it makes docs/performance.md, docs/operators.md, docs/quality.md, docs/placement.md,
docs/roofline.png and the ends of docs/learning.md and docs/corrections.md of the results of this
project instead, and says of which goals that are missed they do not say why.
"""

import argparse
import pathlib
import sys

import report_corrections
import report_lab
import report_masks
import report_operators
import report_quality
import report_reasons
import report_roofline
import report_runs
import report_search
from report_cases import Result, results_of
from results import FOLDER, read

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "performance.md"
OPERATORS_PAGE = PAGE.with_name("operators.md")
QUALITY_PAGE = PAGE.with_name("quality.md")
PLACEMENT_PAGE = PAGE.with_name("placement.md")
LEARNING_PAGE = PAGE.with_name("learning.md")
CORRECTIONS_PAGE = PAGE.with_name("corrections.md")
INTRODUCTION = """\
# Performance

`make bench`, `python bench/demo.py`, `python bench/lean.py` and, on a machine with a GPU,
`python bench/gpu.py` measure and leave rows in `bench/results/`. `python bench/report.py --write`
makes of them this page and that of [operators](operators.md).

Ratios are of medians of one run; of CPUs, which are shared, nothing else is given. "Best peer" is
the fastest of plain and compiled torch, on a GPU also in a CUDA graph, and of k-means there also
flash-kmeans. "Of copy speed" compares with a copy of the same bytes, "of gemm speed" with a matrix
product of the same multiply-adds; "x at the roof" is what a kernel as fast as the slower of these
two would reach. The copy is torch's, of one tensor into another: what changes a tensor in place can
be faster. [bench/README.md](../bench/README.md) says how all of it is measured.

The goals on a CPU are 3x the best peer in bfloat16, else 1.5x. On a GPU, caches cold, bfloat16:
`cluster_propagate` and the `_residual` operators 90 % of copy speed and 1.4x `torch.compile` in a
CUDA graph; `kmeans_step` of HunyuanVideo's 720p tokens, 16 clusters, 85 % of copy speed;
`kmeans_fit` of FLUX's, 16 clusters, 110 us, 2x graphed GEMM-kmeans and 3x flash-kmeans.

The residual `x += gate * feature` of a full step is not fused with `taylor_update_`: in a profile
of the embedded model (torch.profiler, 32 samples, 14 steps, all of them full, the CPU below) the
update takes 1.6 % of the time, and the add would save it one of its four passes.

## Operators

Of every operator's rows in [operators.md](operators.md) the lowest and the highest. That page also
says why goals are missed, and what would close them.
"""
OPERATORS_INTRODUCTION = """\
# Operators

Made by `python bench/report.py --write`, as [performance.md](performance.md), which says what the
columns are. `python bench/report.py` prints all rows: more models, clusters, dtypes and choices.
"""


def results() -> list[dict]:
    return [row for path in sorted(FOLDER.glob("*.json")) for row in read(path)]


def typical(rows: list[dict]) -> list[Result]:
    return [each for each in results_of(rows) if each.is_typical]


def document(rows: list[dict]) -> str:
    """docs/performance.md"""
    rows = [row for row in rows if "bench" in row]  # gpu.py's record of its steps has none
    shown = typical(rows)
    lines = [*report_operators.summary(shown), "", *report_roofline.lines(shown)]
    return "\n".join([INTRODUCTION, *lines, *report_runs.everything(rows)])


def operators(rows: list[dict]) -> str:
    """docs/operators.md"""
    shown = typical(rows)
    lines = [*report_operators.tables(shown), *report_reasons.paragraphs(shown)]
    return "\n".join([OPERATORS_INTRODUCTION, *lines])


def everything(rows: list[dict]) -> str:
    """All rows of operators, and whole runs."""
    rows = [row for row in rows if "bench" in row]
    tables = report_operators.tables(results_of(rows))
    return "\n".join([*tables, *report_runs.everything(rows)])


def write() -> list[str]:
    """The pages and the picture; returns what they lack."""
    rows = results()
    PAGE.write_text(document(rows))
    OPERATORS_PAGE.write_text(operators(rows))
    PLACEMENT_PAGE.write_text(report_search.document(rows))
    for path, report in ((LEARNING_PAGE, report_masks), (CORRECTIONS_PAGE, report_corrections)):
        path.write_text(report.page(path.read_text(), rows))
    of_lab = report_lab.results()
    QUALITY_PAGE.write_text(report_lab.page(report_quality.document(rows), of_lab))
    report_lab.draw(of_lab, QUALITY_PAGE.parent)
    report_roofline.write(typical(rows))
    return report_reasons.mismatches(typical(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", nargs="*", type=pathlib.Path, help="default: bench/results/*")
    parser.add_argument("--write", action="store_true", help="write the pages of docs/ instead")
    options = parser.parse_args()
    if options.write:
        print(*write(), sep="\n", end="", file=sys.stderr)
        return
    rows = [row for path in options.results for row in read(path)] or results()
    print(everything(rows))


if __name__ == "__main__":
    main()
