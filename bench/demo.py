"""The demo, measured: python bench/demo.py [--samples 64] [--repeats 3]

Every row of `clusca demo` in turn, so often; speed-ups are of median times. Rows go to
bench/results/<machine>-demo.json, the README's table is printed, and the picture is drawn; where
the machine was not quiet enough, no row is written. It runs on the GPU where there is one.
"""

import argparse
import pathlib
import sys

from rich.progress import Progress

from clusca_ext.demo.allocator import keep_freed_memory
from clusca_ext.demo.comparison import compare
from clusca_ext.demo.flops import flops_ratio
from clusca_ext.demo.judge import Estimate
from clusca_ext.demo.pipeline import load_digits
from clusca_ext.demo.rows import FEWER
from clusca_ext.demo.run import Result
from clusca_ext.measuring.timing import DEVICE
from results import FOLDER, Recorder, machine

INTERVALS = (4, 6)
TRUSTED = 0.02  # relative error of a speed-up that is known beforehand


def numbers(result: Result, counted: float | None) -> dict[str, object]:
    """A row as JSON holds it: mean and standard error of what is averaged over samples."""

    def pair(estimate: Estimate | None) -> list[float] | None:
        return estimate and [round(estimate.mean, 3), round(estimate.error, 3)]

    sampled = result.sampled
    return {
        "impl": sampled.row.name,
        "interval": sampled.row.interval,
        "full": sampled.full,
        "cached": sampled.cached,
        "seconds": round(sampled.seconds, 3),
        "speedup": round(result.speedup, 3),
        "counted_speedup": counted and round(counted, 3),
        "psnr_db": pair(result.psnr),
        "over_bounded_db": pair(result.over_bounded),
        "recognised": round(result.recognised, 4),
    }


def markdown(rows: list[dict]) -> str:
    """The rows as the README shows them."""

    def both(pair: list[float] | None, sign: str = "") -> str:
        return "" if pair is None else f"{pair[0]:{sign}.2f} ± {pair[1]:.2f}"

    lines = [
        "| interval | method | full + cached steps | speed-up | counted | PSNR, dB | "
        "over bounded Taylor, dB | recognised |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        counted = f"{row['counted_speedup']:.2f}x" if row["counted_speedup"] else ""
        cells = [
            str(row["interval"] or ""),
            row["impl"],
            f"{row['full']} + {row['cached']}",
            f"{row['speedup']:.2f}x",
            counted,
            both(row["psnr_db"]),
            both(row["over_bounded_db"], "+"),
            f"{row['recognised']:.0%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def require_quiet(rows: list[dict]) -> None:
    """What is known beforehand says how far times can be trusted: fewer steps take their share."""
    full = next(row["full"] for row in rows if row["interval"] == 0)
    for row in rows:
        known = full / row["full"]
        if row["impl"] == FEWER and abs(row["speedup"] / known - 1) > TRUSTED:
            sys.exit(
                f"the machine was not quiet: {row['full']} of {full} steps must take 1/{known:.2f} "
                f"of the time, got 1/{row['speedup']:.2f}; no row was written"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--picture", type=pathlib.Path, default=pathlib.Path("clusca-demo.png"))
    options = parser.parse_args()
    keep_freed_memory()
    with Progress(transient=True) as progress:
        comparison = compare(
            options.samples, options.steps, INTERVALS, DEVICE, progress, options.repeats
        )
    pipeline = load_digits().to(DEVICE)
    pipeline.set_progress_bar_config(disable=True)
    recorder = Recorder(FOLDER / f"{machine()}-demo.json")
    shape = f"digits-demo B{options.samples} N256 D128, DDIM {options.steps} steps"
    rows = []
    for result in comparison.results:
        row = result.sampled.row
        counted = flops_ratio(pipeline, result.sampled) if row.config else None
        rows.append(numbers(result, counted))
    print(markdown(rows))
    if DEVICE == "cpu":  # others use its memory; a GPU is ours alone while it is lent
        require_quiet(rows)
    for row in rows:
        where = f"{shape}, interval {row['interval']}" if row["interval"] else shape
        recorder.record(bench="demo", shape=where, dtype="float32", **row)
    comparison.picture.save(options.picture)


if __name__ == "__main__":
    main()
