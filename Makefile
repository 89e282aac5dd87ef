# The two commands a newcomer needs are `make demo` and `make test`; both set everything up first.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
# Of the tests: auto is as many as there are cores, 0 is none but their own.
PROCESSES ?= auto
# Options of the demonstration.
DEMO ?=
BIN := $(VENV)/bin
SOURCES := $(wildcard csrc/*.cpp csrc/*/* cmake/*) CMakeLists.txt setup.py pyproject.toml version.txt

.PHONY: demo test lint docs bench wheel nightly clean

demo: $(VENV)/ready
	$(BIN)/clusca demo $(DEMO)

# A file's tests stay together: what its fixtures compile is compiled once. Threads that wait for work
# leave the cores to the other processes. A process that crashes is not replaced: the run has failed.
test: $(VENV)/ready
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n $(PROCESSES) --max-worker-restart 0 --dist loadfile

# Environment, torch, build. Rebuilt when a source of the extension changes; Python is used in place.
# CMake and ninja are the environment's: another release of ninja would build everything anew.
$(VENV)/ready: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$(TORCH)" "setuptools>=77" "cmake>=3.25" ninja "pybind11>=2.13"
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pip install --quiet --no-build-isolation --editable ".[dev]"
	touch $@

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files 'csrc/*' 'tests/emulation/*' 'tests/launches/*' | grep -E '\.(c|h|cpp|cu|cuh)$$' | xargs $(BIN)/clang-format --dry-run --Werror

# The pages of docs/ and the README as a site in site/; a broken link or anchor fails it.
docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/ready
	$(BIN)/python -m pytest bench
	$(BIN)/python bench/report.py --write
	$(BIN)/python bench/report.py

wheel: $(VENV)/ready
	$(BIN)/pip wheel --no-deps --no-build-isolation --wheel-dir dist .

# Uses the wheel on real CUDA builds of torch 2.10 and 2.11, of CUDA 12 and 13 (no GPU needed), and those
# of other Pythons on one of them; downloads gigabytes.
nightly: $(VENV)/ready
	rm -rf dist/nightly && mkdir -p dist/nightly
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tools/wheels/build.py cu130 --output dist/nightly
	$(BIN)/python tools/load_on_torch.py dist/nightly/*.whl --torch 2.10.0 --torch 2.11.0
	bash tools/check_diffusers.sh

clean:
	rm -rf build dist site $(VENV)
