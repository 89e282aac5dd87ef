#!/usr/bin/env bash
# The pipelines' tests on other versions of diffusers: bash tools/check_diffusers.sh [VERSION ...]
# For a nightly run: packages are downloaded. The environment's own version is left as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=.venv/bin/python
TESTS=(tests/test_{families,branches,mixin,schedulers,pipeline,control,lora,examples}.py)
[ $# -gt 0 ] || set -- 0.41.0 0.40.0 # the two minor versions before the newest
for version in "$@"; do
  folder=$(mktemp -d)
  $PY -m pip install --quiet --no-deps --target "$folder" "diffusers==$version"
  $PY -m pip install --quiet --target "$folder" httpx # which some versions need and others do not
  echo "== diffusers $version"
  PYTHONPATH=$folder $PY -c "import diffusers; assert diffusers.__version__ == '$version'"
  PYTHONPATH=$folder $PY -m pytest -q "${TESTS[@]}"
done
