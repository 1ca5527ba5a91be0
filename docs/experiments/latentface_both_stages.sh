#!/usr/bin/env bash
# Trains both stages of a small LatentFace for longer (run 11), from run 7 of
# latentface_first_stage.sh. Other scripts here measure it.
#
# These are settings over the `demo` preset of 2026-11-21. The preset has had
# another recipe since 2026-11-28, with which the same commands train otherwise.
# Runs 8 to 10 were evaluated every 1,000 steps, run 11 every 2,000.
set -euo pipefail

tracks=(
  python -m facerep_jax.make_tracks --source=synthetic --num-people=4000
  --tracks-per-person=1 --num-frames=16 --size=96
)
"${tracks[@]}" --seed=5 --output=people
"${tracks[@]}" --seed=6 --expressions=4 --output=lively

long=(
  python -m facerep_jax.main --config=configs/latentface.py:demo
  --config.autoencoder.batch_size=8 --config.autoencoder.eval_samples=400
  --config.diffusion.eval_samples=400
  --config.autoencoder.model.num_frames=1
  --config.autoencoder.model.cross_frame=own
  --config.autoencoder.model.depth_gain=0.075
  --config.autoencoder.model.depth_prior=0.6
)
first=("${long[@]}" --config.stage=autoencoder)
people=(--config.data.path=people --config.autoencoder.model.num_groups=16)
fall=(
  --config.data.path=lively --config.autoencoder.optimizer.schedule=cosine
  --config.autoencoder.optimizer.learning_rate=3e-4
  --config.autoencoder.optimizer.last_rate=3e-5
)

"${first[@]}" "${people[@]}" --config.init_from=runs/7 \
  --config.autoencoder.optimizer.learning_rate=3e-4 \
  --config.autoencoder.steps=6000 --workdir=runs/8
"${first[@]}" "${people[@]}" --config.init_from=runs/8 \
  --config.autoencoder.optimizer.learning_rate=1e-4 \
  --config.autoencoder.steps=2500 --workdir=runs/9
"${first[@]}" "${fall[@]}" --config.init_from=runs/9 \
  --config.autoencoder.steps=5000 --workdir=runs/10
"${first[@]}" "${fall[@]}" --config.init_from=runs/10 \
  --config.autoencoder.steps=8000 --workdir=runs/11
"${long[@]}" --config.data.path=lively --config.stage=diffusion \
  --config.diffusion.batch_size=16 --config.diffusion.steps=3000 \
  --config.diffusion.every.eval=500 --workdir=runs/11
