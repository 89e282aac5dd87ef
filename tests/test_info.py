"""What an installation says of itself."""

import os
import re
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

import clusca_ext
from clusca_ext import _library
from clusca_ext.cli import app
from clusca_ext.ops import _dispatch


def test_build_info():
    info = clusca_ext.build_info()
    assert info.version
    assert info.torch == torch.__version__
    assert info.cuda_loaded == (not info.cuda_missing)
    assert not info.cuda_loaded or torch.version.cuda is not None
    assert info.cuda_loaded or os.environ.get("CLUSCA_REQUIRE_CUDA") != "1"
    assert info.cpu_capability
    for word in (info.version, info.torch, info.cpu_capability, "CUDA kernels"):
        assert word in str(info)


def test_info_on_the_command_line():
    result = CliRunner().invoke(app, ["info"])
    assert result.exit_code == 0
    assert result.output.strip() == str(clusca_ext.build_info()).strip()


def test_c_was_built_for_another_python(tmp_path):
    """Without _C the package works and says what it does not know."""
    script = (
        "import sys; sys.modules['clusca_ext._C'] = None\n"
        "import torch, clusca_ext\n"
        "x = torch.zeros(1, 2, 4)\n"
        "clusca_ext.ops.taylor_forecast(x.unsqueeze(0), 1.0)\n"
        "print(clusca_ext.build_info())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "build details are not known" in done.stdout


@pytest.mark.skipif(torch.version.cuda is not None, reason="a torch without CUDA is what it is of")
def test_a_cuda_call_without_kernels_says_why():
    assert "without CUDA" in _library.cuda_missing
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    assert all(has_kernel(f"clusca::{name}", "CUDA") for name in _dispatch.OPS)
    with pytest.raises(RuntimeError, match="has no CUDA kernel here: torch .* without CUDA"):
        _dispatch.refused("taylor_forecast")()


def test_a_missing_library_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setattr(_library, "OPS", tmp_path / "libclusca_ops.so")
    with pytest.raises(ImportError, match="clusca_ext was not built: libclusca_ops.so is missing"):
        _library.load_ops()


def test_a_broken_library_is_said_so(tmp_path, monkeypatch):
    broken = tmp_path / "libclusca_ops.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(_library, "OPS", broken)
    with pytest.raises(ImportError, match="libclusca_ops.so does not load on torch"):
        _library.load_ops()


@pytest.mark.parametrize(
    "content, expected",
    [
        pytest.param(None, "this build of clusca_ext has no CUDA kernels", id="absent"),
        pytest.param(b"libcudart.so.13", "does not fit torch .* with CUDA 13.0: ", id="broken"),
        pytest.param(b"libcudart.so.12", "is for CUDA 12, .* torch .* CUDA 13.0", id="other-major"),
    ],
)
def test_a_cuda_library_that_does_not_load(tmp_path, monkeypatch, content, expected):
    library = tmp_path / "libclusca_cuda.so"
    if content is not None:
        library.write_bytes(content)
    monkeypatch.setattr(_library, "CUDA", library)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert re.search(expected, _library.load_cuda())
