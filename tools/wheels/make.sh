#!/usr/bin/env bash
# Everything that makes the wheels of one variant: built, repaired, checked, each with its SBOM.
#   bash tools/wheels/make.sh VARIANT OUTPUT [--python PATH ...]
# Run by PY, a Python with torch and tools/wheels/requirements.txt (.venv's); builds for every Python
# that the machine has, or those that are named. A CUDA variant needs its nvcc, and cuobjdump in PATH.
set -euo pipefail
cd "$(dirname "$0")/../.."
VARIANT=$1 OUTPUT=$2
shift 2
PY=${PY:-.venv/bin/python}
RAW=$(mktemp -d)
trap 'rm -rf "$RAW"' EXIT

"$PY" tools/wheels/build.py "$VARIANT" --output "$RAW" "$@"
mapfile -t WHEELS < <("$PY" tools/wheels/repair.py "$RAW"/*.whl --output "$OUTPUT")
"$PY" tools/wheels/check.py "${WHEELS[@]}"
"$PY" tools/wheels/sbom.py "${WHEELS[@]}"
