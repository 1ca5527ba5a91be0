#!/usr/bin/env bash
# Trains one run on all hosts of a Cloud TPU; see docs/launch.md.
set -euo pipefail

usage='usage: launch/tpu_pod.sh [--dry-run] NAME ZONE FOLDER --config=FILE[:PRESET] --workdir=DIR [--config.KEY=VALUE ...]'

refuse() {
  printf 'error: %s\n%s\n' "$1" "$usage" >&2
  exit 2
}

is_dry=
if [[ ${1-} == --dry-run ]]; then
  is_dry=1
  shift
fi
(($# > 3)) || refuse 'arguments are missing.'
name=$1 zone=$2 folder=$3
shift 3
[[ $name =~ ^[a-z][a-z0-9-]*$ ]] ||
  refuse "NAME: expected that of a TPU, got '$name'."
[[ $zone =~ ^[a-z]+-[a-z]+[0-9]+-[a-z0-9]+$ ]] ||
  refuse "ZONE: expected one such as us-central2-b, got '$zone'."
[[ $folder && $folder != [-~]* ]] ||
  refuse "FOLDER: expected that of the checkout on the hosts, absolute or from the home folder, got '$folder'."
[[ " $*" == *' --config'[=\ ]* ]] || refuse '--config is missing.'

printf -v there '%q ' cd "$folder"
printf -v train '%q ' FACEREP_DISTRIBUTED=auto "${PYTHON:-python3}" -m facerep_jax.main "$@"
command=(
  gcloud compute tpus tpu-vm ssh "$name" "--zone=$zone" --worker=all
  "--command=$there&& $train"
)
if [[ $is_dry ]]; then
  printf '%q ' "${command[@]}"
  echo
  exit
fi
exec "${command[@]}"
