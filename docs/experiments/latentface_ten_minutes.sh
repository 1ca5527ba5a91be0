#!/usr/bin/env bash
# Measures both codes of the `demo` preset as it comes, on every other frame of
# the synthetic benchmark.
set -euo pipefail

python -m facerep_jax.main --config=configs/latentface.py:demo \
  --workdir=runs/demo
python -m facerep_jax.ablate --workdir=runs/demo --output=parts-demo \
  --train=none --every=2
