#!/usr/bin/env bash
# Trains one run with several processes on this machine; see docs/launch.md.
#
# Each process has FACEREP_CPU_DEVICES CPU devices, 1 by default; with 0 of
# them, process N has GPU N. The output of process 0 comes as it is, that of the
# others, errors only, behind their number.
set -euo pipefail

usage='usage: launch/local.sh [--dry-run] PROCESSES --config=FILE[:PRESET] [--workdir=DIR] [--config.KEY=VALUE ...]'
# What the others have left to end by themselves when one has failed.
grace_s=5

refuse() {
  printf 'error: %s\n%s\n' "$1" "$usage" >&2
  exit 2
}

is_dry=
if [[ ${1-} == --dry-run ]]; then
  is_dry=1
  shift
fi
[[ ${1-} =~ ^[1-9][0-9]{0,3}$ ]] ||
  refuse "PROCESSES: expected a whole number of at least 1, got '${1-}'."
count=$1
shift
[[ " $*" == *' --config'[=\ ]* ]] || refuse '--config is missing.'
devices=${FACEREP_CPU_DEVICES:-1}
[[ $devices =~ ^[0-9]{1,4}$ ]] ||
  refuse "FACEREP_CPU_DEVICES: expected a whole number, got '$devices'."

# Below the ports that the system hands out by itself.
choose_port() { port=$((20000 + RANDOM % 12000)); }
is_taken() { (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
choose_port
while is_taken; do choose_port; done

# Sets `command` to that of process $1.
make_command() {
  command=(
    env "FACEREP_COORDINATOR=127.0.0.1:$port" "FACEREP_NUM_PROCESSES=$count"
    "FACEREP_PROCESS=$1" "JAX_COORDINATOR_BIND_ADDRESS=127.0.0.1:$port"
  )
  if ((devices)); then
    local flag=--xla_force_host_platform_device_count=$devices
    command+=(JAX_PLATFORMS=cpu "XLA_FLAGS=${XLA_FLAGS:+$XLA_FLAGS }$flag")
  else
    command+=("CUDA_VISIBLE_DEVICES=$1")
  fi
  command+=("${PYTHON:-python}" -m facerep_jax.main "${arguments[@]}")
}
arguments=("$@")

if [[ $is_dry ]]; then
  for ((i = 0; i < count; i++)); do
    make_command "$i"
    printf '%q ' "${command[@]}"
    echo
  done
  exit
fi

# Puts the number of a process before its lines.
label() {
  trap '' INT TERM
  while IFS= read -r line || [[ $line ]]; do printf '[%s] %s\n' "$1" "$line"; done
}

pids=() labels=()
# To each process and those that it started.
send() {
  for pid in "${pids[@]}"; do kill -s "$1" -- "-$pid" 2>/dev/null || true; done
}
trap 'send TERM' TERM HUP
trap 'send INT' INT
trap 'send KILL' EXIT

for ((i = 0; i < count; i++)); do
  make_command "$i"
  exec {out}>&1 {err}>&2
  if ((i)); then
    exec {err}> >(label "$i" >&2)
    labels+=($!)
    exec {out}>&"$err"
  fi
  # Job control gives each a group of its own, in which SIGINT is not ignored.
  set -m
  "${command[@]}" </dev/null >&"$out" 2>&"$err" {out}>&- {err}>&- &
  set +m
  pids+=($!)
  exec {out}>&- {err}>&-
done

# Bash tells by itself of each one that was killed.
exec {said}>&2 2>/dev/null
code=0 running=("${!pids[@]}")
while ((${#running[@]})); do
  sleep 0.1
  left=()
  for i in "${running[@]}"; do
    if kill -0 "${pids[i]}"; then
      left+=("$i")
      continue
    fi
    ended=0
    wait "${pids[i]}" || ended=$?
    if ((ended && !code)); then
      code=$ended first=$i deadline=$((SECONDS + grace_s))
    fi
  done
  running=(${left[@]+"${left[@]}"})
  if ((code && SECONDS >= deadline)); then send KILL; fi
done
for pid in ${labels[@]+"${labels[@]}"}; do
  while kill -0 "$pid"; do sleep 0.05; done
done
if ((code && count > 1)); then
  echo "process $first was the first to fail, with exit code $code." >&"$said"
  # SIGABRT; above it, JAX has said why in many lines.
  if ((code == 134)); then
    echo "JAX ends a process so where another one no longer answers. The same command goes on from its last checkpoint." >&"$said"
  fi
fi
exit "$code"
