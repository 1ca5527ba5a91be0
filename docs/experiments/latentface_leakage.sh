#!/usr/bin/env bash
# Measures how well linear probes read each scene factor off each feature of
# run 11 of latentface_both_stages.sh, beside a FAb-Net run.
set -euo pipefail

fabnet=${1:?usage: latentface_leakage.sh FABNET_RUN}

python -m facerep_jax.evaluate --workdir=runs/11 "--compare=$fabnet" \
  --features=identity,expression,raw --tasks=leakage \
  --supervised-steps=300 --output=leakage
