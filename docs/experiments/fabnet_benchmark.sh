#!/usr/bin/env bash
# Measures a small FAb-Net on the synthetic benchmark: landmarks, pose,
# expression, action units and leakage, beside the baselines.
#
# The first run was ended after 12,000 steps; the second goes on from its best
# checkpoint, of step 10,000.
set -euo pipefail

train=(
  python -m facerep_jax.main --config=configs/fabnet.py:demo
  --config.synthetic.num_people=1000
)
"${train[@]}" --config.steps=16000 --config.keep=30 \
  --config.every.eval=1000 --workdir=runs/long
"${train[@]}" --config.steps=2500 --config.every.eval=500 \
  --config.init_from=runs/long --config.optimizer.learning_rate=1e-4 \
  --workdir=runs/low

python -m facerep_jax.evaluate --workdir=runs/low --output=runs/low/report
