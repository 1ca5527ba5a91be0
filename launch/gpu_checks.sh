#!/usr/bin/env bash
# All that a GPU can show in one run of some minutes; see docs/benchmarks.md.
#
# Results go to --output, or to the folder that OUT names.
set -euo pipefail

usage='usage: launch/gpu_checks.sh [--output=DIR] [--seconds=540] [--tiny] [--tracks=DIR] [--people=N] [--work=DIR]'

refuse() {
  printf 'error: %s\n%s\n' "$1" "$usage" >&2
  exit 2
}

arguments=("$@")
if [[ " $*" != *' --output='* ]]; then
  [[ ${OUT-} ]] || refuse '--output is missing, and OUT is not set.'
  arguments+=("--output=$OUT")
fi

# From wherever it is called: tests and package lie beside this file.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" -m facerep_jax.benchmarks.gpu_checks "${arguments[@]}"
