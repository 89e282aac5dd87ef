"""Checkpoints of a training that is killed, which writes nothing in its last moment."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

import clusca_ext
from clusca_ext.learning.training import CHECKPOINT, Training
from tiny_router import training_of

PROGRAM = """
import itertools, os, signal, sys
from small_dit import make_dit
from tiny_router import training_of

folder, source, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
slow = itertools.count(0, 30).__next__  # half a minute from each look at it to the next
training = training_of(make_dit(), folder, source, every=50, clock=slow)
objective = training._objective
backward = objective.backward

def killed(iteration, generator):
    if iteration == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return backward(iteration, generator)

objective.backward = killed
training.run()
"""


@pytest.mark.parametrize("source", ["trajectory", "run"])
def test_a_killed_run_goes_on_to_the_same_bits(source, model, tmp_path):
    """By SIGKILL, long before `every` iterations are done."""
    whole = training_of(model, tmp_path / "whole", source)
    whole.run()
    package = pathlib.Path(clusca_ext.__file__).parents[1]
    path = os.pathsep.join([str(package), str(pathlib.Path(__file__).parent), *sys.path])
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    for last in (3, 6):
        command = [sys.executable, "-c", PROGRAM, tmp_path / "parts", source, str(last)]
        done = subprocess.run(command, env=os.environ | threads | {"PYTHONPATH": path})
        assert done.returncode == -signal.SIGKILL
        assert load_file(tmp_path / "parts" / CHECKPOINT)["iteration"] == last
    rest = training_of(model, tmp_path / "parts", source)
    assert rest.iteration == 6
    rest.run()
    assert rest.errors == whole.errors
    a, b = (load_file(tmp_path / part / CHECKPOINT) for part in ("whole", "parts"))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(0.0, [4, 8, 8], id="quick"),
        pytest.param(7.0, [3, 4, 7, 8, 8], id="every-third-is-old"),
        pytest.param(60.0, [1, 2, 3, 4, 5, 6, 7, 8, 8], id="slow"),
    ],
)
def test_old_checkpoints_are_written_anew(seconds, expected, model, tmp_path, monkeypatch):
    """And those of every fourth iteration; at the end the last one."""
    time, saved, iterate, save = [0.0], [], Training._iterate, Training.save

    def iterating(self):
        time[0] += seconds
        return iterate(self)

    def saving(self):
        saved.append(self.iteration)
        save(self)

    monkeypatch.setattr(Training, "_iterate", iterating)
    monkeypatch.setattr(Training, "save", saving)
    training_of(model, tmp_path, "data", every=4, clock=lambda: time[0]).run()
    assert saved == expected
