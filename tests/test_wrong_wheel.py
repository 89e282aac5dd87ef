"""A wheel that does not fit says why in one sentence; what can work still does."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from clusca_ext import _library, gpus, ops
from clusca_ext.info import build_info
from clusca_ext.ops import _dispatch

ROOT = Path(__file__).parents[1]


def operators_work():
    forecast = ops.taylor_forecast(torch.ones(2, 1, 3, 4), 2.0)
    return torch.equal(forecast, torch.full((1, 3, 4), 3.0))


@pytest.fixture
def cuda_library(tmp_path, monkeypatch):
    """Makes a CUDA library that needs the libraries it is told."""

    def make(cuda, *needed):
        for name in needed:
            subprocess.run(
                ["gcc", "-shared", "-x", "c", "/dev/null", f"-Wl,-soname,{name}"]
                + ["-o", tmp_path / name],
                check=True,
            )
        library = tmp_path / "libclusca_cuda.so"
        links = [tmp_path / name for name in needed]
        subprocess.run(
            ["gcc", "-shared", "-x", "c", "/dev/null", "-x", "none", "-Wl,--no-as-needed"]
            + [*links, "-o", library],
            check=True,
        )
        for link in links:
            link.unlink()
        monkeypatch.setattr(_library, "CUDA", library)
        monkeypatch.setattr(torch.version, "cuda", cuda)

    return make


def one_sentence(text):
    return text and "\n" not in text and not text.endswith(".")


def test_a_cpu_torch_with_a_cuda_wheel(cuda_library):
    cuda_library(None, "libcudart.so.13")
    reason = _library.load_cuda()
    assert re.fullmatch(
        r"torch \S+ is a build without CUDA, so this wheel's libclusca_cuda.so is not used", reason
    )
    assert operators_work()


def test_another_major_of_cuda(cuda_library):
    cuda_library("12.8", "libcudart.so.13")
    reason = _library.load_cuda()
    assert reason == (
        f"libclusca_cuda.so is for CUDA 13, which does not fit torch {torch.__version__} with CUDA "
        "12.8: install the wheel of clusca_ext for CUDA 12"
    )
    assert operators_work()


def test_a_missing_runtime(cuda_library):
    """The loader itself says that the library is not found; no release has this number."""
    cuda_library("99.0", "libcudart.so.99")
    reason = _library.load_cuda()
    assert reason.startswith("libclusca_cuda.so needs libcudart.so.99, which is nowhere on this")
    assert one_sentence(reason)
    assert operators_work()


def test_another_library_is_missing(cuda_library):
    """The one that is loaded first is named, whichever it is."""
    cuda_library("99.0", "libnothing_of_ours.so", "libcudart.so.99")
    reason = _library.load_cuda()
    assert re.search(r"does not fit torch .* CUDA 99.0: libnothing_of_ours.so: cannot open", reason)
    assert operators_work()


def test_a_cpu_wheel_on_a_torch_with_cuda(tmp_path, monkeypatch):
    monkeypatch.setattr(_library, "CUDA", tmp_path / "libclusca_cuda.so")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert _library.load_cuda().endswith("with CUDA 13.0 takes a wheel for CUDA 13")


@pytest.mark.parametrize("version", ["2.9.1+cpu", "1.13.0"])
def test_a_torch_that_is_too_old(version, tmp_path):
    """The import says so before it uses anything else of torch: this one has nothing else."""
    (tmp_path / "torch.py").write_text(f"__version__ = {version!r}\n")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT / 'python')!r}]; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}import clusca_ext"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: clusca_ext needs torch >= 2.10, got torch {version}: install a newer torch, "
        'such as by `pip install "torch>=2.10"`'
    )


@pytest.mark.parametrize("version", ["2.10.0", "2.13.0+cpu", "3.0.0a0+git1", "2.100"])
def test_a_torch_that_is_new_enough(version, monkeypatch):
    monkeypatch.setattr(torch, "__version__", version)
    _library.check_torch()


def test_the_oldest_torch_has_one_number():
    minimum = ".".join(map(str, _library.TORCH_MINIMUM))
    assert f"set(CLUSCA_TORCH_MINIMUM {minimum})" in (ROOT / "CMakeLists.txt").read_text()
    assert f'"torch>={minimum}"' in (ROOT / "pyproject.toml").read_text()


def test_the_oldest_gpu_has_one_number():
    cmake = (ROOT / "cmake/cuda.cmake").read_text()
    oldest = "".join(map(str, gpus.CAPABILITY))
    assert f"arch=compute_{oldest},code=compute_{oldest}" in cmake
    assert f"set(CLUSCA_CUDA_ARCHITECTURES {oldest} " in cmake


@pytest.fixture
def two_gpus(monkeypatch):
    """An H200 and a T4, which is too old."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i: [(9, 0), (7, 5)][i])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: ["H200", "Tesla T4"][i])


TOO_OLD = (
    r"cuda:1 \(Tesla T4\) is of sm_75, and the CUDA kernels of clusca_ext need sm_80 or newer: .*"
)


def test_an_old_gpu_is_warned_of_when_cuda_starts(two_gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.warns(UserWarning) as caught:
        gpus.watch()
    (warning,) = caught
    assert re.fullmatch(TOO_OLD, str(warning.message))
    assert operators_work()


def test_nothing_is_asked_before_cuda_starts(monkeypatch):
    """Asking would start CUDA, after which a process cannot be forked."""
    queue = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "_queued_calls", queue)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i: pytest.fail("asked"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gpus.watch()
    assert [call for call, _ in queue] == [gpus.warn_of_old_ones]


def test_an_operator_on_an_old_gpu_says_so(two_gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)

    def op():
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    with pytest.raises(RuntimeError, match=TOO_OLD):
        _dispatch.call(op)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RuntimeError, match="no kernel image"):
        _dispatch.call(op)


def test_build_info_names_an_old_gpu(two_gpus, monkeypatch):
    monkeypatch.setattr(_library, "cuda_missing", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    info = build_info()
    assert len(info.gpus_too_old) == 1
    assert re.search(f"GPU too old         {TOO_OLD}", str(info))
    monkeypatch.setattr(_library, "cuda_missing", "no CUDA")
    assert build_info().gpus_too_old == ()
