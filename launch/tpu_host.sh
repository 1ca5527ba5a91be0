#!/usr/bin/env bash
# On one host of a Cloud TPU: a training that survives the end of the connection
# that started it. launch/tpu_pod.sh calls it; see docs/launch.md.
#
# start COMMAND...  starts it, unless the same one runs already
# follow            shows its output from the beginning, until it ends
# status            says "running", "exit CODE", "lost" or "none"
# stop              sends it SIGTERM
set -euo pipefail

place=${FACEREP_LOGS:-$HOME/facerep_logs}

is_running() {
  [[ -s $place/pid ]] || return
  # Not another process that has its number since.
  local words
  words=/proc/$(<"$place/pid")/cmdline
  { tr '\0' ' ' <"$words"; } 2>/dev/null | grep --quiet 'tpu_host\.sh '
}

status() {
  if is_running; then
    echo running
  elif [[ -s $place/exit ]]; then
    echo "exit $(<"$place/exit")"
  elif [[ -e $place/pid ]]; then
    echo lost
  else
    echo none
  fi
}

start() {
  local command
  printf -v command '%q ' "$@"
  if is_running; then
    [[ $(<"$place/command") == "$command" ]] && exit
    echo "error: $(hostname) trains something else: $(<"$place/command")" >&2
    exit 2
  fi
  mkdir -p "$place"
  rm -f "$place/exit" "$place/pid"
  echo "$command" >"$place/command"
  # Without the connection's terminal, group and files.
  nohup setsid bash "$0" run "$@" </dev/null >"$place/train.log" 2>&1 &
  echo $! >"$place/pid"
}

run() {
  trap 'kill -s TERM "$child" 2>/dev/null || true' TERM
  "$@" &
  child=$!
  local code=0
  while :; do
    wait "$child" && code=0 || code=$?
    kill -0 "$child" 2>/dev/null || break
  done
  echo "$code" >"$place/exit"
}

case ${1-} in
  start | run) "$@" ;;
  status) status ;;
  follow)
    [[ -s $place/pid ]] || exit 0
    tail --lines=+1 --follow=name --pid="$(<"$place/pid")" "$place/train.log"
    ;;
  stop) if is_running; then kill -s TERM "$(<"$place/pid")"; fi ;;
  *)
    echo 'usage: launch/tpu_host.sh start COMMAND... | follow | status | stop' >&2
    exit 2
    ;;
esac
