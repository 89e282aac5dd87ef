"""The scripts that make wheels: what they demand, and that workflow, page and scripts agree."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import build
import index
from matrix import PYTHONS, VARIANTS, WheelName, base_version

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / ".github/workflows"
NAME = "clusca_ext-{0}+{1}-cp3{2}-cp3{2}-{3}.whl"


def workflow(name):
    return yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())


def table():
    """The rows of the install table: variant, Pythons, chips, state."""
    text = (ROOT / "docs/installing.md").read_text()
    rows = re.findall(
        r"^\| `(cpu|cu\d+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", text, re.M
    )
    return {row[0]: row[1:] for row in rows}


def test_workflow_page_and_scripts_have_the_same_matrix():
    jobs = workflow("wheels")["jobs"]
    images = {
        row["variant"]: row["image"] for row in jobs["build"]["strategy"]["matrix"]["include"]
    }
    assert images == {name: variant.image for name, variant in VARIANTS.items()}
    tested = jobs["test"]["strategy"]["matrix"]
    assert (tuple(tested["python"]), tested["variant"]) == (PYTHONS, list(VARIANTS))
    assert list(table()) == list(VARIANTS)
    for name, (_, of_python, chips, _) in table().items():
        assert of_python == ", ".join(PYTHONS)
        assert re.findall(r"sm_(\w+)", chips) == list(VARIANTS[name].chips)


def test_the_page_says_what_no_machine_has_built():
    """CI builds with what it has; the others wait for the workflow's first run."""
    states = {name: state for name, (*_, state) in table().items()}
    assert states["cpu"].startswith("built, installed and loaded in CI")
    assert states["cu130"].startswith("that of 3.11 built, installed and used in CI")
    built = {"cpu", "cu130"}
    assert all("no machine has built it yet" in states[name] for name in VARIANTS.keys() - built)


def test_the_workflows_call_only_scripts_that_are_here():
    text = "".join(path.read_text() for path in WORKFLOWS.iterdir())
    named = set(re.findall(r"tools/\S+\.(?:sh|py|txt)", text))
    assert {"tools/wheels/make.sh", "tools/wheels/test.sh", "tools/wheels/index.py"} <= named
    assert not [name for name in named if not (ROOT / name).exists()]
    (job,) = workflow("nightly")["jobs"].values()
    assert any("make nightly" in step.get("run", "") for step in job["steps"])


def test_the_smallest_chips_are_those_of_the_build():
    cmake = (ROOT / "cmake/cuda.cmake").read_text()
    always, newer = re.findall(r"(?:set|APPEND)\(?\s?CLUSCA_CUDA_ARCHITECTURES ([\da ]+)\)", cmake)
    assert VARIANTS["cu126"].chips == tuple(always.split())
    assert VARIANTS["cu130"].chips == (*always.split(), *newer.split())


def test_a_name_is_read():
    name = WheelName.of(Path(NAME.format("0.1.0", "cu130", "12", "manylinux_2_28_x86_64")))
    assert name == WheelName("0.1.0", "cu130", "3.12", "manylinux_2_28_x86_64")
    with pytest.raises(ValueError, match="wheel must be named clusca_ext-VERSION.* got other.whl"):
        WheelName.of(Path("other.whl"))


@pytest.mark.parametrize(
    "answer, message",
    [
        ("Cuda compilation tools, release 12.6, V12.6.85", r"nvcc 13.0, got release 12.6 \("),
        ("something", r"nvcc 13.0, got one that does not say its release \("),
        (None, "nvcc 13.0; none was found in PATH, CUDACXX or CUDA_HOME"),
    ],
)
def test_another_nvcc_is_refused(answer, message, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.delenv("CUDACXX", raising=False)
    if answer:
        nvcc = tmp_path / "nvcc"
        nvcc.write_text(f"#!/bin/sh\necho '{answer}'\n")
        nvcc.chmod(0o755)
    with pytest.raises(SystemExit, match=f"cu130 needs {message}"):
        build.require_nvcc("cu130")


METADATA = (
    "Metadata-Version: 2.4\nName: clusca_ext\nVersion: {0}\nRequires-Python: >=3.10\n"
    'Requires-Dist: torch>=2.10\nRequires-Dist: pytest; extra == "dev"\n'
)


def make_wheel(folder, variant="cpu", version=None):
    """A wheel of one file, for the Python that runs this."""
    version = version or base_version()
    minor = sys.version_info[1]
    path = folder / NAME.format(version, variant, minor, "linux_x86_64")
    info = f"clusca_ext-{version}+{variant}.dist-info"
    tag = path.stem.split("-", 2)[2]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("clusca_ext/__init__.py", "")
        archive.writestr("clusca_ext/demo/digits/model", "weights" * 100)
        archive.writestr(f"{info}/METADATA", METADATA.format(f"{version}+{variant}"))
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def pip_install(site, variant, target):
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-cache-dir", "--target"]
    url = ["--index-url", f"file://{site}/{variant}/simple", "clusca_ext"]
    return subprocess.run([*command, target, *url], capture_output=True, text=True)


def test_pip_installs_from_the_index_and_checks_hashes(tmp_path):
    wheels = [make_wheel(tmp_path, variant) for variant in ("cpu", "cu130")]
    site = tmp_path / "site"
    index.write_index(wheels, site, None)
    done = pip_install(site, "cpu", tmp_path / "target")
    assert done.returncode == 0, done.stderr
    (info,) = (tmp_path / "target").glob("*.dist-info")
    assert info.name.endswith("+cpu.dist-info")
    with (site / "cpu" / wheels[0].name).open("ab") as file:
        file.write(b"tampered")
    assert "HASH" in pip_install(site, "cpu", tmp_path / "other").stderr.upper()


def test_links_go_to_the_release(tmp_path):
    wheel = make_wheel(tmp_path, "cu130")
    index.write_index([wheel], tmp_path, "https://example.org/download/v1")
    page = (tmp_path / "cu130/simple/clusca-ext/index.html").read_text()
    assert f'href="https://example.org/download/v1/clusca_ext-{base_version()}%2Bcu130-' in page
    assert f"#sha256={index.sha256(wheel)}" in page
    assert 'data-requires-python="&gt;=3.10"' in page
    assert not (tmp_path / "cpu").exists()


def test_checksums_are_of_everything_published(tmp_path):
    wheel = make_wheel(tmp_path)
    (tmp_path / f"{wheel.name}.cdx.json").write_text("{}")
    index.write_checksums(tmp_path)
    check_them = ["sha256sum", "--check", "SHA256SUMS"]
    assert subprocess.run(check_them, cwd=tmp_path, capture_output=True).returncode == 0
    assert len((tmp_path / "SHA256SUMS").read_text().splitlines()) == 2
    wheel.write_bytes(b"")
    assert subprocess.run(check_them, cwd=tmp_path, capture_output=True).returncode == 1
