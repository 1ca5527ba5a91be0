#!/usr/bin/env bash
# Compiles training steps for TPU slices, without a TPU: compiled, not run. In
# an environment of its own: pip install . "libtpu==0.0.42.*"
set -euo pipefail

# aot NAME ARGUMENTS..
aot() {
  python -m facerep_jax.aot --output="runs/aot/$1.json" "${@:2}"
}

mkdir -p runs/aot
aot fabnet-demo --config=configs/fabnet.py:demo --topology=v5e:4x4 \
  --slices=2 --batch-size=64
for topology in v5e:16x16 v6e:16x16; do
  for slices in 1 2; do
    place="${topology/:/-}-$slices"
    aot "fabnet-$place" --config=configs/fabnet.py:paper \
      --topology="$topology" --slices="$slices" --batch-size=4096
    aot "autoencoder-$place" --config=configs/latentface.py:paper \
      --config.stage=autoencoder \
      --topology="$topology" --slices="$slices" --batch-size=8192
    aot "diffusion-$place" --config=configs/latentface.py:paper \
      --config.stage=diffusion \
      --topology="$topology" --slices="$slices" --batch-size=4096
  done
done
# Statistics of batches that stay inside a slice.
aot fabnet-v5e-groups --config=configs/fabnet.py:paper \
  --config.model.batch_norm_groups=2 --topology=v5e:16x16 --slices=2 \
  --batch-size=4096
# The published batches, 32 and 64. That of the second stage is one.
aot fabnet-v5e-published --config=configs/fabnet.py:paper --topology=v5e:2x2
aot autoencoder-v5e-published --config=configs/latentface.py:paper \
  --config.stage=autoencoder --topology=v5e:2x2
