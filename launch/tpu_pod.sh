#!/usr/bin/env bash
# Trains one run on all hosts of a Cloud TPU, or of several slices; see
# docs/launch.md.
#
# The training goes on when this script or its connection ends. The same command
# follows it again; --stop ends it.
set -euo pipefail

usage='usage: launch/tpu_pod.sh [--dry-run] [--stop] [--logs=FOLDER] NAME[,NAME...] ZONE FOLDER --config=FILE[:PRESET] --workdir=DIR [--config.KEY=VALUE ...]'
# What a training ends with that was told to stop.
stopped=75

refuse() {
  printf 'error: %s\n%s\n' "$1" "$usage" >&2
  exit 2
}

is_dry='' is_stop='' logs=''
while (($#)); do
  case $1 in
    --dry-run) is_dry=1 ;;
    --stop) is_stop=1 ;;
    --logs=?*) logs=${1#*=} ;;
    *) break ;;
  esac
  shift
done
(($# > 3)) || refuse 'arguments are missing.'
[[ $1 =~ ^[a-z][a-z0-9-]*(,[a-z][a-z0-9-]*)*$ ]] ||
  refuse "NAME: expected that of a TPU, got '$1'."
IFS=, read -ra names <<<"$1"
zone=$2 folder=$3
shift 3
[[ $zone =~ ^[a-z]+-[a-z]+[0-9]+-[a-z0-9]+$ ]] ||
  refuse "ZONE: expected one such as us-central2-b, got '$zone'."
[[ $folder && $folder != [-~]* ]] ||
  refuse "FOLDER: expected that of the checkout on the hosts, absolute or from the home folder, got '$folder'."
[[ " $*" == *' --config'[=\ ]* ]] || refuse '--config is missing.'
logs=${logs:-logs/${names[0]}}

# Sets `command`: $3... of tpu_host.sh on hosts $2 of slice $1.
make_command() {
  local there host
  printf -v there '%q ' cd "$folder"
  printf -v host '%q ' bash launch/tpu_host.sh "${@:3}"
  command=(
    gcloud compute tpus tpu-vm ssh "$1" "--zone=$zone" "--worker=$2"
    --quiet "--command=$there&& $host"
  )
  [[ $2 != all ]] || command+=(--batch-size=all)
}
call() {
  if [[ $is_dry ]]; then
    printf '%q ' "${command[@]}"
    echo
  else
    "${command[@]}"
  fi
}
# Notices when a host is gone.
alive=(-- -o ServerAliveInterval=30 -o ServerAliveCountMax=4)

if [[ $is_stop ]]; then
  for name in "${names[@]}"; do
    make_command "$name" all stop
    call
  done
  exit
fi

for name in "${names[@]}"; do
  make_command "$name" all start env FACEREP_DISTRIBUTED=auto \
    "FACEREP_STOPPED_EXIT_CODE=$stopped" "${PYTHON:-python3}" \
    -m facerep_jax.main "$@"
  call
done

# The output of process 0 comes here, that of each host goes to a file.
pids=()
trap '((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true' EXIT
for name in "${names[@]}"; do
  make_command "$name" all follow
  command+=("--output-directory=$logs/$name" "${alive[@]}")
  if [[ $is_dry ]]; then
    call
  else
    mkdir -p "$logs/$name"
    "${command[@]}" </dev/null >"$logs/$name/gcloud.log" 2>&1 &
    pids+=($!)
  fi
done
make_command "${names[0]}" 0 follow
command+=("${alive[@]}")
call || true
if [[ ! $is_dry ]]; then
  for pid in "${pids[@]}"; do wait "$pid" || true; done
fi

make_command "${names[0]}" 0 status
if [[ $is_dry ]]; then
  call
  exit
fi
status=$(call | tail -n 1) || true
if [[ $status =~ ^exit\ ([0-9]+)$ ]]; then
  exit "${BASH_REMATCH[1]}"
fi
echo "the connection ended (${status:-no answer}); if the TPU is there, the training goes on, and the same command follows it." >&2
exit 255
