#!/usr/bin/env bash
# Measures shape, viewpoint and texture of LatentFace's first stage on people
# that no run saw. Seven runs, each from the best checkpoint of the one before.
#
# These are settings over the `demo` preset of 2026-11-21. The preset has had
# another recipe since 2026-11-28, with which the same commands train otherwise.
# Run 3 was evaluated every 1,000 steps. Runs 4 to 6 were stopped somewhat after
# the checkpoint that the next one took.
set -euo pipefail

first=(
  python -m facerep_jax.main --config=configs/latentface.py:demo
  --config.stage=autoencoder --config.autoencoder.every.eval=500
  --config.autoencoder.model.num_groups=16
)
upright=(--config.autoencoder.model.depth_prior_upright=1)
rough=(
  "${upright[@]}" --config.autoencoder.model.weights.depth_smoothness=0.5
)
few=(
  --config.synthetic.num_people=600 --config.synthetic.pose_scale=0.4 "${rough[@]}"
)
all=(--config.synthetic.num_people=1000 --config.synthetic.pose_scale=1)
low=(
  --config.autoencoder.model.weights.depth_smoothness=5
  --config.autoencoder.model.depth_gain=0.075
  --config.autoencoder.model.depth_prior=0.6
)

"${first[@]}" "${few[@]}" --config.autoencoder.batch_size=4 \
  --config.autoencoder.steps=1500 --workdir=runs/1
"${first[@]}" "${few[@]}" --config.init_from=runs/1 \
  --config.autoencoder.steps=2500 --workdir=runs/2
"${first[@]}" "${all[@]}" "${rough[@]}" --config.init_from=runs/2 \
  --config.autoencoder.steps=4000 --workdir=runs/3
"${first[@]}" "${all[@]}" "${upright[@]}" --config.init_from=runs/3 \
  --config.autoencoder.steps=1000 --workdir=runs/4
"${first[@]}" "${all[@]}" --config.init_from=runs/4 \
  --config.autoencoder.steps=1000 --workdir=runs/5
"${first[@]}" "${all[@]}" "${low[@]}" --config.init_from=runs/5 \
  --config.autoencoder.optimizer.learning_rate=3e-4 \
  --config.autoencoder.steps=2500 --workdir=runs/6
"${first[@]}" "${all[@]}" "${low[@]}" --config.init_from=runs/6 \
  --config.autoencoder.optimizer.learning_rate=1e-4 \
  --config.autoencoder.steps=1500 --workdir=runs/7

python -m facerep_jax.make_tracks --source=synthetic --depth \
  --num-people=250 --tracks-per-person=1 --num-frames=4 --size=128 \
  --seed=91 --split=40/0/60 --output=depth_tracks
python -m facerep_jax.evaluate --workdir=runs/7 \
  --data=tracks:depth_tracks --tasks=geometry --output=report
