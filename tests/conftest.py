import contextlib
import os

import pytest
import torch

# Each of several processes takes its part of the cores, and two threads even where that is one: a
# kernel's rows are tested as its threads divide them.
if processes := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    torch.set_num_threads(max(2, torch.get_num_threads() // int(processes)))


def require_cuda():
    """Skip without a CUDA device; fail instead where the environment promises one."""
    if not torch.cuda.is_available():
        refuse = pytest.fail if os.environ.get("CLUSCA_REQUIRE_CUDA") == "1" else pytest.skip
        refuse("needs a CUDA device")


# Session scope: hypothesis runs many examples within one test and wants fixtures that outlive it.
@pytest.fixture(params=["cpu", "cuda"], scope="session")
def device(request):
    if request.param == "cuda":
        require_cuda()
    return request.param


@pytest.fixture(scope="session")
def cuda():
    require_cuda()
    return "cuda"


@pytest.fixture
def graphs(device, monkeypatch):
    """What captures cached steps on this device: on a CPU, a stand-in for CUDA's graphs."""
    from graph_emulation import stand_in

    return stand_in(device, monkeypatch)


@pytest.fixture
def emulation(monkeypatch):
    """The same on a CPU alone."""
    from graph_emulation import stand_in

    return stand_in("cpu", monkeypatch)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def model():
    """A small DiT, its cache removed at the end."""
    from clusca_ext import disable_cache
    from small_dit import make_dit  # operator tests do without diffusers

    model = make_dit()
    yield model
    with contextlib.suppress(ValueError):  # the test did it
        disable_cache(model)


@pytest.fixture(scope="module")
def browser():
    from chromium import started

    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A report's page, as a file."""
    from clusca_ext.report import render
    from report_documents import recorded

    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(recorded()), "utf-8")
    return path


@pytest.fixture
def page(browser, path):
    """The same, in the browser."""
    from chromium import opened

    with opened(browser, path) as page:
        yield page
