#!/usr/bin/env bash
# The ways to install: isolated `pip install .`, wheels of this machine's Pythons from an index,
# and the errors without torch and without a working nvcc.
#   bash tools/check_installs.sh [FOLDER]    FOLDER: keeps the wheels
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
HERE=$(command -v "$PYTHON")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
DIST=${1:-$WORK/dist}
export PATH="$PWD/.venv/bin:$PATH" PY="$PWD/.venv/bin/python"
TORCH=$("$PY" -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])")

echo "- without torch: one line that says what to do"
"$PYTHON" -m venv "$WORK/bare"
if "$WORK/bare/bin/pip" install --quiet . >"$WORK/log" 2>&1; then
  echo "installed without torch" && exit 1
fi
grep -q "install torch first" "$WORK/log" || { cat "$WORK/log"; exit 1; }

echo "- a broken nvcc, or none where one was asked for: an error, never a CPU build"
mkdir "$WORK/broken"
printf '#!/bin/sh\nexit 3\n' >"$WORK/broken/nvcc" && chmod +x "$WORK/broken/nvcc"
for case in "AUTO|$WORK/broken/nvcc|does not work" "ON|/nonexistent/nvcc|does not work"; do
  IFS='|' read -r cuda nvcc message <<<"$case"
  if CLUSCA_CUDA=$cuda CUDACXX=$nvcc "$PY" setup.py --version >"$WORK/log" 2>&1; then
    echo "CLUSCA_CUDA=$cuda with $nvcc went on" && exit 1
  fi
  grep -q "$message" "$WORK/log" || { cat "$WORK/log"; exit 1; }
done

echo "- pip install . in an environment of its own, but for torch, which is lent to it"
# A link to the headers that were compiled against: the operator libraries are up to date.
"$WORK/bare/bin/python" - "$TORCH" <<'EOF'
import pathlib, sys, sysconfig
torch, site = pathlib.Path(sys.argv[1]), pathlib.Path(sysconfig.get_path("purelib"))
for path in [torch, torch.parent / "torchgen", *torch.parent.glob("torch-*.dist-info")]:
    (site / path.name).symlink_to(path)
EOF
CLUSCA_CUDA=OFF "$WORK/bare/bin/pip" install --quiet .
(cd "$WORK" && "$WORK/bare/bin/clusca" info && "$WORK/bare/bin/python" "$OLDPWD/tools/wheels/smoke.py" cpu)
"$WORK/bare/bin/pip" uninstall --quiet --yes clusca_ext

echo "- a source distribution: without some of the tests, as setuptools would have it"
"$PY" setup.py --quiet sdist --dist-dir "$WORK/sdist"
files=$(tar -tzf "$WORK"/sdist/*.tar.gz)
if grep -F /tests/ <<<"$files"; then echo "it must not hold them" && exit 1; fi

VARIANTS=(cpu)
if command -v nvcc >/dev/null; then
  VARIANTS=("cu$(nvcc --version | sed -n 's/.*release \([0-9]*\)\.\([0-9]*\).*/\1\2/p')" cpu)
fi
echo "- wheels of ${VARIANTS[*]}: built, repaired, checked"
# A library that lies where another configuration was built must not get into a CPU wheel.
for folder in build/lib.*/clusca_ext; do touch "$folder/libclusca_cuda.so"; done
# A CUDA library is the same for all Pythons, and _C that of the CPU wheels: one Python's will do.
only() { [ "$1" = cpu ] || echo "$HERE"; }
for variant in "${VARIANTS[@]}"; do
  python=$(only "$variant")
  bash tools/wheels/make.sh "$variant" "$DIST" ${python:+--python "$python"}
done

echo "- their checksums and index; pip installs from it into an environment of every Python"
"$PY" tools/wheels/index.py "$DIST" --output "$WORK/site"
(cd "$DIST" && sha256sum --quiet --check SHA256SUMS && ls -l)
for variant in "${VARIANTS[@]}"; do
  python=$(only "$variant")
  bash tools/wheels/try.sh "$variant" "$WORK/site" "$WORK/bare" ${python:+"$python"}
done
