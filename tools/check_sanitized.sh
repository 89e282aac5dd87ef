#!/usr/bin/env bash
# The CPU operators' tests on a build with address and undefined-behaviour sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=$PWD/.venv/bin/python
WORK=$(mktemp -d)
# pytest keeps what a process that ends at once has said: what it reports goes to files.
trap 'cat "$WORK"/report.* 2>/dev/null || true; rm -rf "$WORK"' EXIT
TORCH_DIR=$("$PY" -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])")

.venv/bin/cmake -S . -B build/sanitized -G Ninja -DCMAKE_MAKE_PROGRAM="$PWD/.venv/bin/ninja" \
  -DCLUSCA_TORCH_DIR="$TORCH_DIR" -DCLUSCA_CUDA=OFF -DCLUSCA_SANITIZE=ON >/dev/null
.venv/bin/cmake --build build/sanitized

# The package of this checkout, with the sanitized library in the place of its own.
cp -r python/clusca_ext "$WORK/"
cp build/sanitized/libclusca_ops.so "$WORK/clusca_ext/"

# Those of every operator that is registered; a glob without a file is an error of pytest's.
OPS=$("$PY" -c "from clusca_ext.ops._dispatch import OPS
print(*sorted({name.partition('.')[0].rstrip('_') for name in OPS}))")
TESTS=(tests/test_collapse.py tests/test_sizes.py) # of several operators
for op in $OPS; do TESTS+=(tests/test_"$op"*.py); done

# Python itself is not sanitized: its leaks are not ours, and the runtime must be loaded first.
export ASAN_OPTIONS=detect_leaks=0:log_path=$WORK/report
export UBSAN_OPTIONS=print_stacktrace=1:log_path=$WORK/report
export LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)"
export PYTHONPATH=$WORK
"$PY" -c "import clusca_ext; assert clusca_ext.__file__.startswith('$WORK')"
# Threads that wait for work leave the cores to the other processes. What opcheck calls, others do.
OMP_WAIT_POLICY=passive "$PY" -m pytest -q -p no:cacheprovider -n auto --max-worker-restart 0 -x \
  -k "not cuda and not opcheck" "${TESTS[@]}"
