"""Tries a peer's kernel in a process of its own: one that takes minutes to compile is given up."""

import os
import signal
import subprocess
import sys
import tempfile

from results import NotMeasured

SECONDS = 40.0


def try_out(code: str, seconds: float = SECONDS) -> None:
    """Run Python code; raise NotMeasured if it fails, or takes longer. What it compiles is kept by
    its compiler, so that it need not be compiled again."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.DEVNULL,
            stderr=output,
            process_group=0,
        )
        try:
            failed = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise NotMeasured(f"not compiled within {seconds:g} s") from None
        output.seek(0)
        said = output.read().strip().splitlines() or [f"ended with {failed}"]
    if failed:
        raise NotMeasured(said[-1][:200])
