#!/usr/bin/env bash
# Measures what rendering in 3D brings: a short run beside the same one without
# 3D, and a longer flat run to hold against run 11.
#
# Needs the tracks `lively` of latentface_both_stages.sh.
set -euo pipefail

demo=(python -m facerep_jax.main --config=configs/latentface.py:demo)

"${demo[@]}" --config.data.path=lively \
  --config.autoencoder.eval_samples=200 --config.diffusion.eval_samples=200 \
  --config.autoencoder.steps=4000 --config.autoencoder.every.eval=1000 \
  --config.diffusion.steps=1500 --workdir=runs/12
python -m facerep_jax.ablate --workdir=runs/12 --output=space \
  --train=without-3d --every=2

"${demo[@]}" --config.data.path=lively --config.autoencoder.batch_size=8 \
  --config.autoencoder.eval_samples=200 --config.diffusion.eval_samples=200 \
  --config.autoencoder.model.num_frames=1 \
  --config.autoencoder.model.cross_frame=own \
  --config.autoencoder.model.depth_gain=1.0 \
  --config.autoencoder.model.depth_prior=0.0 \
  --config.autoencoder.model.image_formation=flat \
  --config.autoencoder.model.weights.mirror=0.0 \
  --config.autoencoder.model.weights.depth_smoothness=0.0 \
  --config.autoencoder.optimizer.schedule=cosine \
  --config.autoencoder.optimizer.learning_rate=3e-4 \
  --config.autoencoder.optimizer.last_rate=3e-5 \
  --config.autoencoder.steps=6000 --config.autoencoder.every.eval=2000 \
  --config.diffusion.batch_size=16 --config.diffusion.steps=1500 \
  --config.diffusion.every.eval=500 --workdir=runs/13
