#!/usr/bin/env bash
# Installs the wheels of a variant from an index, into a clean environment of every Python found, or
# of those that are named.
#   bash tools/wheels/try.sh VARIANT SITE ENVIRONMENT [PYTHON ...]
# SITE is what index.py wrote. ENVIRONMENT has torch and what the wheels depend on, but no clusca_ext:
# there the wheel of its Python is used. The others have no torch here: their libraries are loaded.
set -euo pipefail
cd "$(dirname "$0")/../.."
VARIANT=$1 SITE=$(realpath "$2") ENVIRONMENT=$(realpath "$3")
PY=${PY:-.venv/bin/python}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
HERE=$PWD/tools/wheels
PYTHONS=("${@:4}")
[ $# -gt 3 ] || mapfile -t PYTHONS < <("$PY" "$HERE/pythons.py")
TORCH=$("$ENVIRONMENT/bin/python" -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])")

install() {
  "$PY" -m pip --python "$1" install --quiet --no-deps --force-reinstall \
    --index-url "file://$SITE/$VARIANT/simple" clusca_ext
}

install "$ENVIRONMENT/bin/python"
(cd "$WORK" && "$ENVIRONMENT/bin/python" "$HERE/smoke.py" "$VARIANT")

minor() { "$1" -c "import sys; print(sys.version_info[1])"; }
for python in "${PYTHONS[@]}"; do
  [ "$(minor "$python")" = "$(minor "$ENVIRONMENT/bin/python")" ] && continue
  "$python" -m venv --without-pip "$WORK/$(minor "$python")"
  install "$WORK/$(minor "$python")/bin/python"
  (cd "$WORK" && "$WORK/$(minor "$python")/bin/python" "$HERE/load.py" "$TORCH")
done
