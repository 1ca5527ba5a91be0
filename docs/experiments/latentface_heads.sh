#!/usr/bin/env bash
# Trains the first stage of the `demo` preset on built-in heads, on those of
# ICT-FaceKit and on both, all turns, and measures each on photographs.
set -euo pipefail

usage='usage: latentface_heads.sh LANDMARKS.csv LFW_FOLDER FER2013.csv'
landmarks=${1:?$usage}
lfw=${2:?$usage}
fer=${3:?$usage}

for heads in built-in ict mixed; do
  run=runs/heads-$heads
  python -m facerep_jax.main --config=configs/latentface.py:demo \
    --config.stage=autoencoder "--config.synthetic.heads=${heads/built-in/}" \
    --config.synthetic.pose_scale=1.0 --config.synthetic.num_people=600 \
    --config.synthetic.tracks_per_person=2 --config.synthetic.num_frames=8 \
    --config.synthetic.restyle=True "--workdir=$run"
  python -m facerep_jax.evaluate "--workdir=$run" "--data=fer2013:$fer" \
    --tasks=expression --supervised-steps=0 "--output=$run/fer2013"
  python -m facerep_jax.evaluate "--workdir=$run" \
    "--data=landmarks:$landmarks:crop=square" --fit-pose \
    --tasks=pose,landmarks --folds=5 --supervised-steps=0 \
    "--output=$run/landmarks"
  python -m facerep_jax.evaluate "--workdir=$run" "--data=lfw:$lfw" \
    --tasks=verification --supervised-steps=0 "--output=$run/lfw"
done
