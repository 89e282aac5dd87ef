"""Peers that need not be there: flash-kmeans, and what is left of one that is not."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

import peers_flash
from clusca_ext import ops
from clusca_ext.measuring.work import same_answer
from peers_probe import try_out
from results import NotMeasured, Recorder, read


class StandIn(types.ModuleType):
    """What is called of the package, in plain torch."""

    @staticmethod
    def euclid_assign_triton(x, centroids, x_sq):
        assert x.dtype == centroids.dtype and x_sq.shape == x.shape[:2]
        return torch.cdist(x.float(), centroids.float()).argmin(-1).int()

    @staticmethod
    def triton_centroid_update_sorted_euclid(
        x, cluster_ids, old_centroids, *, centroid_sums, centroid_cnts, calculate_new
    ):
        sums, counts = peers_flash.cluster_sums_by_product(x, cluster_ids, old_centroids.shape[1])
        centroid_sums += sums
        centroid_cnts += counts

    @staticmethod
    def batch_kmeans_Euclid(x, n_clusters, max_iters, tol, init_centroids):
        assert init_centroids.dtype == x.dtype and init_centroids.shape[1] == n_clusters
        ids, _, centroids, *_ = ops.kmeans_fit(x, init_centroids, "l2", max_iters, tol)
        return ids, centroids, max_iters


def test_flash_kmeans_does_what_ours_do(monkeypatch):
    for name in ("flash_kmeans", "flash_kmeans.assign_euclid_triton"):
        monkeypatch.setitem(sys.modules, name, StandIn(name))
    tokens, start = torch.randn(2, 64, 8), torch.randn(2, 4, 8)
    same_answer(ops.kmeans_assign, peers_flash.assign, (tokens, start, "l2"))
    for step in (peers_flash.step, peers_flash.step_by_product):
        same_answer(ops.kmeans_step, step, (tokens, start, "l2"))
    for fit in (peers_flash.fit, peers_flash.fit_by_product):
        same_answer(lambda *args: ops.kmeans_fit(*args)[:3], fit, (tokens, start, "l2", 20))


def test_a_peer_that_is_not_installed_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_kmeans", None)
    args = torch.zeros(1, 8, 4), torch.zeros(1, 2, 4), "l2"
    for function in (peers_flash.assign, peers_flash.step, peers_flash.step_by_product):
        with pytest.raises(NotMeasured, match="^not installed$"):
            function(*args)
    for function in (peers_flash.fit, peers_flash.fit_by_product):
        with pytest.raises(NotMeasured, match="^not installed$"):
            function(*args, 2)


def test_what_a_peer_refuses_is_its_note(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_kmeans", StandIn("flash_kmeans"))

    @peers_flash.peer
    def refuses():
        raise ValueError("D must be\n  smaller")

    with pytest.raises(NotMeasured, match="^flash_kmeans: ValueError: D must be smaller$"):
        refuses()


@pytest.mark.parametrize(
    "code, why",
    [
        ("import time; time.sleep(60)", "^not compiled within 0.5 s$"),
        ("raise ValueError('too long')", "^ValueError: too long$"),
        ("import sys; sys.exit(3)", "^ended with 3$"),
    ],
)
def test_what_is_tried_out_may_fail_or_hang(code, why):
    with pytest.raises(NotMeasured, match=why):
        try_out(code, seconds=0.5 if "sleep" in code else 30)
    try_out("pass")


def test_an_update_that_does_not_compile_is_a_note(monkeypatch):
    monkeypatch.setattr(peers_flash, "PROBE", "raise ValueError('{D} of {dtype}')")
    peers_flash.why_no_update.cache_clear()
    expected = "its update, for D = 8: ValueError: 8 of torch.float16"
    assert peers_flash.why_no_update(8, "torch.float16") == expected
    monkeypatch.setattr(peers_flash, "why_no_update", lambda *_: expected)
    on_gpu = types.SimpleNamespace(shape=(1, 16, 8), dtype=torch.float16, is_cuda=True)
    with pytest.raises(NotMeasured, match="^its update, for D = 8"):
        peers_flash.require_update(on_gpu)


def test_rows_are_held_back_and_replaced(tmp_path):
    path, case = tmp_path / "rows.json", {"bench": "op", "shape": "s", "dtype": "d", "impl": "i"}
    Recorder(path).record(**case, median_us=1)
    recorder = Recorder(path, every=60)
    recorder.record(**case, median_us=2)
    recorder.record(**case, median_us=3)
    recorder.record(**case | {"impl": "other"}, median_us=4)
    assert [row["median_us"] for row in read(path)] == [1]
    recorder.flush()
    assert [row["median_us"] for row in read(path)] == [3, 4]


STAND_IN = """
import torch
from results import NotMeasured
from clusca_ext.measuring.shapes import Case, MODELS
from clusca_ext.measuring.work import Work

CASES = [Case(MODELS[-1], torch.float32)]

def variants(case):
    return {"absent": absent, "present": torch.neg}

def absent(x):
    raise NotMeasured("not installed")

def bench_stand_in(measure, case):
    measure(Work(torch.neg, torch.neg, (torch.ones(8),), 64, variants=variants(case)))
"""


def test_the_note_is_a_row(tmp_path):
    folder = Path(peers_flash.__file__).parent
    for name in ("conftest.py", "pytest.ini"):
        (tmp_path / name).write_text((folder / name).read_text())
    (tmp_path / "bench_stand_in.py").write_text(STAND_IN)
    rows = tmp_path / "rows.json"
    command = [sys.executable, "-m", "pytest", "bench_stand_in.py", "--quick", f"--results={rows}"]
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    # In a process of pytest-xdist, pytest-benchmark would not measure.
    alone = {key: value for key, value in os.environ.items() if "XDIST" not in key}
    done = subprocess.run(
        [*command, "-k", "not compile"],
        cwd=tmp_path,
        env=alone | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    found = {row["impl"]: row for row in read(rows)}
    assert set(found) == {"clusca", "torch", "copy", "present", "absent"}
    assert found["absent"]["note"] == "not installed" and "median_us" not in found["absent"]
    assert found["present"]["median_us"] > 0
