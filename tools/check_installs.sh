#!/usr/bin/env bash
# The ways to install: isolated `pip install .`, a built wheel, and the error without torch. CPU only:
# the CUDA build is checked where it is made.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3} TORCH=${TORCH:-torch==2.13.0}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export CLUSCA_CUDA=OFF

# Away from the checkout, so that nothing but what was installed is found.
try_it() {
  (cd "$WORK" && "$1/bin/clusca" info && "$1/bin/python" -c "
import torch, clusca_ext
assert 'site-packages' in clusca_ext.__file__, clusca_ext.__file__
assert clusca_ext.build_info().version.endswith('+cpu')
out = clusca_ext.ops.taylor_forecast(torch.ones(2, 1, 3, 4), 2.0)
assert torch.equal(out, torch.full((1, 3, 4), 3.0))
from clusca_ext.demo.pipeline import load_digits
assert load_digits()([7], num_inference_steps=2).shape == (1, 1, 32, 32)
")
}

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
  if CLUSCA_CUDA=$cuda CUDACXX=$nvcc .venv/bin/python setup.py --version >"$WORK/log" 2>&1; then
    echo "CLUSCA_CUDA=$cuda with $nvcc went on" && exit 1
  fi
  grep -q "$message" "$WORK/log" || { cat "$WORK/log"; exit 1; }
done

echo "- pip install ."
"$PYTHON" -m venv "$WORK/isolated"
"$WORK/isolated/bin/pip" install --quiet "$TORCH"
"$WORK/isolated/bin/pip" install --quiet .
try_it "$WORK/isolated"

echo "- a source distribution: without some of the tests, as setuptools would have it"
.venv/bin/python setup.py --quiet sdist --dist-dir "$WORK/sdist"
files=$(tar -tzf "$WORK"/sdist/*.tar.gz)
if grep -F /tests/ <<<"$files"; then echo "it must not hold them" && exit 1; fi

echo "- a wheel: of this configuration alone, though another one was built here before"
for folder in build/lib.*/clusca_ext; do touch "$folder/libclusca_cuda.so"; done
"$WORK/isolated/bin/pip" wheel --quiet --no-deps --wheel-dir "$WORK/dist" .
ls -l "$WORK/dist"
files=$("$PYTHON" -m zipfile --list "$WORK"/dist/*.whl)
for file in libclusca_ops.so _C. demo/digits/transformer/diffusion_pytorch_model.safetensors; do
  grep -qF "clusca_ext/$file" <<<"$files" || { echo "no $file in the wheel" && exit 1; }
done
if grep -F libclusca_cuda.so <<<"$files"; then echo "the wheel must not hold it" && exit 1; fi
"$WORK/isolated/bin/pip" uninstall --quiet --yes clusca_ext
"$WORK/isolated/bin/pip" install --quiet "$WORK"/dist/*.whl
try_it "$WORK/isolated"
