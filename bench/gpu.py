"""Everything that needs a GPU, within a time limit: python bench/gpu.py --limit SECONDS

Every step's outcome goes to bench/results/<machine>-run.json as it ends, the benchmarks' rows to
<machine>.json. The package is used from its source folder; it need not be installed.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time

import torch

from results import FOLDER, machine, read, write
from steps import ROOT, Step, steps

TAIL = 12_000  # characters of a step's output that are kept
OVERRAN, NOT_FOUND = 124, 127  # as a shell has them


def run(step: Step, limit: float) -> dict:
    """Run a step; kill it, and whatever it started, when its time is up."""
    path = os.pathsep.join([str(ROOT / "python"), os.environ.get("PYTHONPATH", "")])
    env = os.environ | step.env | {"PYTHONPATH": path.rstrip(os.pathsep), "PYTHONUNBUFFERED": "1"}
    start = time.monotonic()
    note = ""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            process = subprocess.Popen(
                step.command,
                cwd=ROOT,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            rc = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            rc, note = OVERRAN, f"\nkilled: over its limit of {limit:.0f} s"
        except OSError as error:
            rc, note = NOT_FOUND, str(error)
        output.seek(0)
        text = output.read()
    return record(step, rc, time.monotonic() - start, text[-TAIL:] + note)


def record(step: Step, rc: int | None, seconds: float, tail: str) -> dict:
    command = " ".join([*(f"{k}={v}" for k, v in step.env.items()), *step.command])
    # The interpreter's path is the machine's business.
    command = command.replace(sys.executable, "python")
    return {
        "step": step.name,
        "command": command,
        "rc": rc,
        "seconds": round(seconds, 1),
        "tail": tail,
    }


def run_all(listed: list[Step], limit: float) -> bool:
    """Run the steps in order; what one leaves of its share goes to those after it."""
    path = FOLDER / f"{machine()}-run.json"
    records = {record["step"]: record for record in read(path)}
    deadline = time.monotonic() + limit
    for i, step in enumerate(listed):
        needed = records.get(step.needs)
        remaining = deadline - time.monotonic()
        if step.needs and (needed is None or needed["rc"] != 0):
            done = record(step, None, 0, f"skipped: {step.needs} did not succeed")
        elif remaining <= 0:
            done = record(step, None, 0, "skipped: no time left")
        else:
            share = step.share / sum(later.share for later in listed[i:])
            done = run(step, remaining * share)
        records[step.name] = done
        write(path, list(records.values()))
        print(f"{step.name:32} rc {done['rc']}  {done['seconds']} s", flush=True)
    return all(records[step.name]["rc"] == 0 for step in listed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=float, default=1500, help="seconds for everything")
    parser.add_argument("--list", action="store_true", help="print the steps and stop")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="steps whose name has one of these"
    )
    parser.add_argument("--cpu", action="store_true", help="the same steps on a CPU, quickly")
    options = parser.parse_args()
    listed = steps(options.cpu)
    if options.only:
        listed = [step for step in listed if any(name in step.name for name in options.only)]
    if options.list:
        for step in listed:
            print(f"{step.name:32} {record(step, None, 0, '')['command']}")
        return
    if not options.cpu and not torch.cuda.is_available():
        sys.exit("bench/gpu.py needs a CUDA device and found none; --cpu tries its steps without.")
    sys.exit(0 if run_all(listed, options.limit) else 1)


if __name__ == "__main__":
    main()
