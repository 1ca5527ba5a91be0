#!/usr/bin/env bash
# Measures run 11 of latentface_both_stages.sh on photographs: verification on
# LFW and expression on FER-2013, beside a FAb-Net run and the baselines.
set -euo pipefail

usage='usage: latentface_real_faces.sh FABNET_RUN LFW_FOLDER FER2013.csv'
fabnet=${1:?$usage}
lfw=${2:?$usage}
fer=${3:?$usage}

python -m facerep_jax.evaluate --workdir=runs/11 "--compare=$fabnet" \
  "--data=lfw:$lfw" "--data=fer2013:$fer" \
  --tasks=verification,expression --supervised-steps=0 --output=real
