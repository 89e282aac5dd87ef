#!/usr/bin/env bash
# The tests with an installed wheel in the place of a build: bash tools/wheels/test.sh VARIANT DIST PYTHON
# DIST has the wheels. torch comes from TORCH_INDEX (default: its CPU builds; no GPU is needed).
set -euo pipefail
cd "$(dirname "$0")/../.."
VARIANT=$1 DIST=$(realpath "$2") PYTHON=$3
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
BIN=$WORK/venv/bin

"$PYTHON" -m venv "$WORK/venv"
"$BIN/pip" install --quiet torch --index-url "${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}"
"$BIN/python" tools/wheels/index.py "$DIST" --output "$WORK/site"
"$BIN/pip" install --quiet "clusca_ext[dev]" \
  --index-url "file://$WORK/site/$VARIANT/simple" --extra-index-url https://pypi.org/simple
(cd "$WORK" && "$BIN/python" "$OLDPWD/tools/wheels/smoke.py" "$VARIANT")

# The checkout's package is not in Python's path: what the tests import is what was installed.
OMP_WAIT_POLICY=passive "$BIN/python" -m pytest -q -n auto --max-worker-restart 0 --dist loadfile
