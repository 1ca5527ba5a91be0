#!/usr/bin/env bash
# Asks for a Cloud TPU as a queued resource and trains on it; when it is taken
# back, asks again and goes on, until the run is done; see docs/launch.md.
set -euo pipefail

usage='usage: launch/tpu_queued.sh [--dry-run] [--spot] [--slices=N] [--setup=FILE] [--with=FLAG ...] [--keep] [--logs=FOLDER] NAME ZONE TYPE VERSION FOLDER --config=FILE[:PRESET] --workdir=DIR [--config.KEY=VALUE ...]'
# Between two looks, and until a slice that is taken back is seen to be.
poll_s=${FACEREP_POLL_S:-60}
# Failures in a row after which the run itself is at fault.
max_failures=3
stopped=75

refuse() {
  printf 'error: %s\n%s\n' "$1" "$usage" >&2
  exit 2
}

is_dry='' is_kept='' slices=1 setup='' logs='' create=()
while (($#)); do
  case $1 in
    --dry-run) is_dry=1 ;;
    --spot) create+=(--spot) ;;
    --keep) is_kept=1 ;;
    --slices=*) slices=${1#*=} ;;
    --setup=?*) setup=${1#*=} ;;
    --with=--?*) create+=("${1#*=}") ;;
    --logs=?*) logs=${1#*=} ;;
    *) break ;;
  esac
  shift
done
(($# > 5)) || refuse 'arguments are missing.'
name=$1 zone=$2 kind=$3 version=$4 folder=$5
shift 5
[[ $name =~ ^[a-z][a-z0-9-]*$ ]] ||
  refuse "NAME: expected small letters, digits and hyphens, got '$name'."
[[ $zone =~ ^[a-z]+-[a-z]+[0-9]+-[a-z0-9]+$ ]] ||
  refuse "ZONE: expected one such as us-central2-b, got '$zone'."
[[ $kind =~ ^[a-z0-9]+-[0-9]+$ ]] ||
  refuse "TYPE: expected one such as v5litepod-16, got '$kind'."
[[ $version =~ ^[a-z0-9][a-z0-9.-]*$ ]] ||
  refuse "VERSION: expected that of the TPU software, got '$version'."
[[ $folder && $folder != [-~]* ]] ||
  refuse "FOLDER: expected that of the checkout on the hosts, absolute or from the home folder, got '$folder'."
[[ $slices =~ ^[1-9][0-9]{0,2}$ ]] ||
  refuse "--slices: expected a whole number of at least 1, got '$slices'."
[[ ! $setup || -f $setup ]] || refuse "--setup: there is no file '$setup'."
[[ " $*" == *' --config'[=\ ]* ]] || refuse '--config is missing.'

queue=(gcloud compute tpus queued-resources)
if ((slices > 1)); then
  create+=("--node-count=$slices" "--node-prefix=$name")
  nodes=()
  for ((i = 0; i < slices; i++)); do nodes+=("$name-$i"); done
else
  create+=("--node-id=$name")
  nodes=("$name")
fi
printf -v all '%s,' "${nodes[@]}"
logs=${logs:-logs/$name}
pod=("${all%,}" "$zone" "$folder" "$@")
# Each slice that is got has a folder of its own, by number.
train() {
  local number=1
  while [[ -e $logs/$number ]]; do ((++number)); done
  bash "$(dirname "$0")/tpu_pod.sh" ${is_dry:+--dry-run} \
    "--logs=$logs/$number" "${pod[@]}"
}

say() { echo "$(date '+%F %T') $name: $*" >&2; }
call() {
  if [[ $is_dry ]]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}
create() {
  call "${queue[@]}" create "$name" "--zone=$zone" "--accelerator-type=$kind" \
    "--runtime-version=$version" "${create[@]}"
}
delete() {
  call "${queue[@]}" delete "$name" "--zone=$zone" --force --quiet
}
# With --setup: once on each new host.
prepare() {
  [[ $setup ]] || return 0
  local node done=facerep_setup_done
  local command="test -e $done || { bash facerep_setup.sh && touch $done; }"
  for node in "${nodes[@]}"; do
    call gcloud compute tpus tpu-vm scp "$setup" "$node:facerep_setup.sh" \
      "--zone=$zone" --worker=all --quiet &&
      call gcloud compute tpus tpu-vm ssh "$node" "--zone=$zone" --worker=all \
        --quiet "--command=$command" --batch-size=all ||
      return
  done
}
describe=("${queue[@]}" describe "$name" "--zone=$zone" '--format=value(state.state)')
# Says the state, NONE for no such resource, nothing where it is not known.
state() {
  local error
  if "${describe[@]}" 2>"$errors"; then
    return
  fi
  error=$(<"$errors")
  if [[ $error == *NOT_FOUND* || $error == *'not found'* ]]; then
    echo NONE
  else
    say "no answer: $error"
  fi
}

if [[ $is_dry ]]; then
  create
  call "${describe[@]}"
  prepare
  train
  [[ $is_kept ]] || delete
  exit
fi

# Ends the loop; the slice costs money while it is there.
end() {
  say "$2"
  [[ $is_kept ]] || delete || say 'it could not be deleted; do it by hand.'
  exit "$1"
}

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
failures=0
while :; do
  now=$(state)
  case $now in
    NONE)
      say 'asks for it.'
      if create; then
        failures=0
      elif ((++failures >= max_failures)); then
        say "refused $failures times in a row."
        exit 1
      fi
      ;;
    ACTIVE)
      say 'trains.'
      code=0 begun=$SECONDS
      { prepare && train; } || code=$?
      ((code != 0)) || end 0 'the run is done.'
      say "ended with $code."
      sleep "$poll_s"
      # What ends with the slice is no failure of the run, nor is a connection
      # that ends after a while.
      lasted=$((SECONDS - begun))
      if [[ $(state) != ACTIVE ]] || ((code == stopped)) ||
        ((code == 255 && lasted > 20 * poll_s)); then
        failures=0
      elif ((++failures >= max_failures)); then
        end "$code" "failed $failures times in a row."
      fi
      continue
      ;;
    SUSPENDED | FAILED)
      say "$now: deletes it, to ask again."
      delete || say 'not deleted; tries again.'
      ;;
    *) say "waits: ${now:-unknown}." ;;
  esac
  sleep "$poll_s"
done
