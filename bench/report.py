"""Prints the results as markdown: python bench/report.py [--write] [RESULTS.json ...]

With --write it makes docs/performance.md of the results of this project instead.
"""

import argparse
import pathlib

import report_operators
import report_runs
from results import FOLDER, read

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "performance.md"
INTRODUCTION = """\
# Performance

`make bench`, `python bench/demo.py` and, on a machine with a GPU, `python bench/gpu.py` measure and
leave rows in `bench/results/`. `python bench/report.py --write` makes this page of them.

Ratios are of medians of one run; of CPUs, which are shared, nothing else is given. "Best peer" is
the faster of plain and compiled torch, on a GPU also in a CUDA graph. "Of copy speed" compares with
a copy of the same bytes, "of gemm speed" with a matrix product of the same multiply-adds; "x at the
roof" is what a kernel as fast as the slower of these two would reach. The goals on a CPU are 3x in
bfloat16, else 1.5x. [bench/README.md](../bench/README.md) says how all of it is measured.

Of the goals that are missed on a CPU, most are because of memory: where "x at the roof" is below
the goal, nothing would reach it. k-means of 16 clusters and bfloat16 tokens goes through matrix
tiles (AMX), where the CPU has them, at 58 to 79 % of a matrix product's speed on these shapes; of
float32 tokens it is vector code, at 43 to 53 %. Split into bfloat16 parts, as the centroids are,
float32 tokens were slower than that. `collapse_forecasts` in bfloat16 converts and multiplies more
than it reads. On tensors that caches hold, `collapsed_residual` of many modules loses to compiled
code, which reads all of them side by side; a cached step whose timesteps are known gives it one.
What reads few rows, as `gather_representatives` and `carry_representatives` do, waits for memory,
not for its bandwidth.
"""


def results() -> list[dict]:
    return [row for path in sorted(FOLDER.glob("*.json")) for row in read(path)]


def document(rows: list[dict], complete: bool = False) -> str:
    """The page. ``complete``: also what it leaves out."""
    rows = [row for row in rows if "bench" in row]  # gpu.py's record of its steps has none
    lines = report_operators.section(rows, complete)
    return "\n".join([INTRODUCTION, *lines, *report_runs.demo(rows), *report_runs.loops(rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", nargs="*", type=pathlib.Path, help="default: bench/results/*")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md instead")
    options = parser.parse_args()
    if options.write:
        PAGE.write_text(document(results()))
        return
    rows = [row for path in options.results for row in read(path)] or results()
    print(document(rows, complete=True))


if __name__ == "__main__":
    main()
