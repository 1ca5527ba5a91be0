#!/usr/bin/env bash
# Measures what the second stage, texture and shape each bring: verification
# and expression AUC of both codes of run 11 of latentface_both_stages.sh.
set -euo pipefail

fabnet=${1:?usage: latentface_identity_expression.sh FABNET_RUN}

python -m facerep_jax.ablate --workdir=runs/11 "--also=$fabnet" \
  --output=parts --train=none
