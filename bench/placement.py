"""Where the last full step should lie: python bench/placement.py [--samples 32]

The default configuration on the embedded model, with 0, 1, 2, ... cached steps after the last full
one; the number of full steps is the same. PSNR to the full sampler, with standard errors and the
difference to `tail=1` paired by sample, goes to bench/results/<machine>-placement.json.
"""

import argparse

import torch
from rich.progress import Progress

from clusca_ext import ClusCaConfig, EvenSchedule, TaylorForecaster
from clusca_ext.correction import NoCorrection
from clusca_ext.demo.judge import Estimate, estimate, psnr
from clusca_ext.demo.pipeline import NUM_CLASSES, load_digits
from clusca_ext.demo.rows import FULL, WARMUP, Row
from clusca_ext.demo.run import sample
from clusca_ext.measuring.timing import DEVICE
from results import FOLDER, Recorder, machine

INTERVALS = (4, 6)
TAILS = (0, 1, 2, 3, 5)
CORRECTORS = {"ClusCa, default": ClusCaConfig().corrector, "Taylor, bounded": NoCorrection()}


def row_of(method: str, interval: int, tail: int, steps: int) -> Row:
    config = ClusCaConfig(
        schedule=EvenSchedule(interval=interval, warmup=WARMUP, tail=tail),
        forecaster=TaylorForecaster(order=1),
        corrector=CORRECTORS[method],
    )
    return Row(method, interval, steps, config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    pipeline = load_digits().to(DEVICE)
    pipeline.set_progress_bar_config(disable=True)
    labels = [i % NUM_CLASSES for i in range(options.samples)]
    recorder = Recorder(FOLDER / f"{machine()}-placement.json")

    def pair(value: Estimate) -> list[float]:
        return [round(value.mean, 3), round(value.error, 3)]

    with Progress(transient=True) as progress:
        count = 1 + len(INTERVALS) * len(TAILS) * len(CORRECTORS)
        task = progress.add_task("sampling", total=count * options.steps)

        def images_of(row: Row) -> torch.Tensor:
            return sample(pipeline, row, labels, lambda: progress.advance(task)).images

        full = images_of(Row(FULL, 0, options.steps, None))
        for method in CORRECTORS:
            for interval in INTERVALS:
                distances = {
                    tail: psnr(images_of(row_of(method, interval, tail, options.steps)), full)
                    for tail in TAILS
                }
                for tail, distance in distances.items():
                    over = estimate(distance - distances[1])
                    recorder.record(
                        bench="placement",
                        shape=f"digits-demo B{options.samples}, DDIM {options.steps} steps, "
                        f"interval {interval}, tail {tail}",
                        dtype="float32",
                        impl=method,
                        psnr_db=pair(estimate(distance)),
                        over_tail_1_db=pair(over),
                    )
                    progress.print(f"{method}, interval {interval}, tail {tail}: {over:+} dB")


if __name__ == "__main__":
    main()
