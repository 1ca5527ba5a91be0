#!/usr/bin/env bash
# Trains FAb-Net's demo as it is and with three other recipes of the same
# length, and measures each on synthetic people and on photographs.
set -euo pipefail

landmarks=${1:?usage: fabnet_demo_schedules.sh LANDMARKS.csv}

# train NAME SETTINGS..
train() {
  local run=runs/fabnet-demo-$1
  python -m facerep_jax.main --config=configs/fabnet.py:demo "${@:2}" \
    "--workdir=$run"
  python -m facerep_jax.evaluate "--workdir=$run" --tasks=pose,landmarks \
    --supervised-steps=0 --quick "--output=$run/synthetic"
  python -m facerep_jax.evaluate "--workdir=$run" --tasks=pose,landmarks \
    "--data=landmarks:$landmarks:crop=square" --fit-pose --folds=5 \
    --supervised-steps=0 "--output=$run/photos"
}

cosine=(
  --config.optimizer.schedule=cosine --config.optimizer.last_rate=2e-5
  --config.curriculum.lr_factor=1.0
)
train plateau
train cosine "${cosine[@]}"
train augmented "${cosine[@]}" --config.data.use_mirror=True \
  --config.data.colour_jitter=0.2
train fast "${cosine[@]}" --config.optimizer.learning_rate=2e-3
