#!/usr/bin/env bash
# Measures how well the first stage reconstructs photographs of people that it
# did not train on: run 7 of latentface_first_stage.sh goes on with photographs.
set -euo pipefail

photos=${1:?usage: latentface_photographs.sh PHOTOS}

python -m facerep_jax.make_tracks "--source=$photos" --layout=photos \
  --size=128 --output=photos
python -m facerep_jax.main --config=configs/latentface.py:demo \
  --config.stage=autoencoder --config.autoencoder.every.eval=500 \
  --config.autoencoder.model.num_groups=16 \
  --config.autoencoder.model.depth_gain=0.075 \
  --config.autoencoder.model.depth_prior=0.6 \
  --config.data.path=photos --config.autoencoder.model.num_frames=1 \
  --config.autoencoder.model.cross_frame=own \
  --config.autoencoder.batch_size=8 \
  --config.autoencoder.optimizer.learning_rate=3e-4 \
  --config.autoencoder.model.weights.depth_smoothness=2 \
  --config.init_from=runs/7 --config.autoencoder.steps=2000 \
  --workdir=runs/photos
