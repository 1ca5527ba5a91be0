#!/usr/bin/env bash
# Trains one run on TPU slices or GPU nodes of a GKE cluster, as a JobSet; see
# docs/launch.md.
set -euo pipefail

usage='usage: launch/gke.sh [--dry-run] (--tpu=ACCELERATOR --topology=AxB[xC] --chips=PER_NODE [--slices=N] | --gpu=ACCELERATOR --nodes=N --gpus=PER_NODE) (--bucket=BUCKET --service-account=NAME | --claim=PVC) [--spot] [--max-restarts=N] NAME IMAGE --config=CONFIG[:PRESET] --workdir=/data/DIR [--config.KEY=VALUE ...]'
# What a training ends with that was told to stop.
stopped=75
# Of the first pod; any that nothing else in the pod uses.
port=8476
# Of the user in launch/Dockerfile.
user=1000

refuse() {
  printf 'error: %s\n%s\n' "$1" "$usage" >&2
  exit 2
}

is_dry='' is_spot='' tpu='' topology='' chips='' slices='' gpu='' nodes=''
gpus='' bucket='' account='' claim='' max_restarts=10
while (($#)); do
  case $1 in
    --dry-run) is_dry=1 ;;
    --spot) is_spot=1 ;;
    --tpu=*) tpu=${1#*=} ;;
    --topology=*) topology=${1#*=} ;;
    --chips=*) chips=${1#*=} ;;
    --slices=*) slices=${1#*=} ;;
    --gpu=*) gpu=${1#*=} ;;
    --nodes=*) nodes=${1#*=} ;;
    --gpus=*) gpus=${1#*=} ;;
    --bucket=*) bucket=${1#*=} ;;
    --service-account=*) account=${1#*=} ;;
    --claim=*) claim=${1#*=} ;;
    --max-restarts=*) max_restarts=${1#*=} ;;
    --*) refuse "$1: there is no such option before NAME." ;;
    *) break ;;
  esac
  shift
done
(($# > 3)) || refuse 'arguments are missing.'
name=$1 image=$2
shift 2

check_name() {
  [[ $2 =~ ^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$ ]] ||
    refuse "$1: expected a name of Kubernetes or Google Cloud, got '$2'."
}
check_count() {
  [[ $2 =~ ^[1-9][0-9]{0,3}$ ]] ||
    refuse "$1: expected a whole number of at least 1, got '$2'."
}
# Part of the host names of the pods, which have 63 characters at most.
[[ $name =~ ^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$ ]] ||
  refuse "NAME: expected up to 40 small letters, digits and hyphens, got '$name'."
[[ $image =~ ^[A-Za-z0-9][A-Za-z0-9._/:@-]*$ ]] ||
  refuse "IMAGE: expected that of a registry, got '$image'."
[[ " $*" == *' --config'[=\ ]* ]] || refuse '--config is missing.'
[[ " $*" == *' --workdir'[=\ ]/data/* ]] ||
  refuse '--workdir: expected a folder in /data, the volume of the run.'
[[ "$*" != *[[:cntrl:]]* ]] ||
  refuse 'arguments: expected no line ends nor other control characters.'
[[ $max_restarts =~ ^[0-9]{1,4}$ ]] ||
  refuse "--max-restarts: expected a whole number, got '$max_restarts'."

if [[ $tpu && ! $gpu$nodes$gpus ]]; then
  slices=${slices:-1}
  check_name --tpu "$tpu"
  check_count --chips "$chips"
  check_count --slices "$slices"
  [[ $topology =~ ^[1-9][0-9]*(x[1-9][0-9]*){1,2}$ ]] ||
    refuse "--topology: expected one such as 4x4 or 2x2x4, got '$topology'."
  all=$((${topology//x/*}))
  ((all % chips == 0)) ||
    refuse "--chips: expected a divisor of the $all chips of --topology=$topology, got $chips."
  pods=$((all / chips)) device=google.com/tpu count=$chips
elif [[ $gpu && ! $tpu$topology$chips$slices ]]; then
  check_name --gpu "$gpu"
  check_count --nodes "$nodes"
  check_count --gpus "$gpus"
  slices=1 pods=$nodes device=nvidia.com/gpu count=$gpus
else
  refuse 'expected --tpu, --topology and --chips, or --gpu, --nodes and --gpus.'
fi
if [[ $bucket && $account && ! $claim ]]; then
  check_name --bucket "$bucket"
  check_name --service-account "$account"
elif [[ $claim && ! $bucket ]]; then
  check_name --claim "$claim"
  [[ ! $account ]] || check_name --service-account "$account"
else
  refuse 'expected --bucket and --service-account, or --claim.'
fi

# A string of YAML in which Kubernetes replaces no $(VARIABLE).
quote() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  printf '"%s"' "${text//\$/\$\$}"
}

print_manifest() {
  cat <<EOF
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
EOF
  if [[ $tpu ]]; then
    # A job per slice: its pods share one node pool with no other job.
    cat <<EOF
  annotations:
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
EOF
  fi
  # Stopped trainings, and pods whose node is taken away, do not count.
  cat <<EOF
spec:
  failurePolicy:
    maxRestarts: $max_restarts
    restartStrategy: BlockingRecreate
    rules:
    - name: stopped
      action: RestartJobSetAndIgnoreMaxRestarts
      onJobFailureReasons: [PodFailurePolicy]
  replicatedJobs:
  - name: train
    replicas: $slices
    template:
      spec:
        parallelism: $pods
        completions: $pods
        completionMode: Indexed
        backoffLimit: 0
        podFailurePolicy:
          rules:
          - action: FailJob
            onPodConditions:
            - type: DisruptionTarget
              status: "True"
          - action: FailJob
            onExitCodes:
              containerName: train
              operator: In
              values: [$stopped, 143]
        template:
EOF
  if [[ $bucket ]]; then
    cat <<EOF
          metadata:
            annotations:
              gke-gcsfuse/volumes: "true"
EOF
  fi
  cat <<EOF
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 180
EOF
  [[ ! $account ]] || echo "            serviceAccountName: $account"
  print_node
  cat <<EOF
            containers:
            - name: train
              image: $image
              args:
              - train
EOF
  local argument
  for argument in "$@"; do echo "              - $(quote "$argument")"; done
  print_environment
  # Devices of TPUs are those of the superuser.
  [[ ! $tpu ]] || printf '%14s%s\n%16s%s\n' '' securityContext: '' 'privileged: true'
  cat <<EOF
              resources:
                limits:
                  $device: $count
              volumeMounts:
              - name: data
                mountPath: /data
              - name: memory
                mountPath: /dev/shm
            volumes:
            - name: memory
              emptyDir:
                medium: Memory
            - name: data
EOF
  if [[ $bucket ]]; then
    cat <<EOF
              csi:
                driver: gcsfuse.csi.storage.gke.io
                volumeAttributes:
                  bucketName: $bucket
                  mountOptions: implicit-dirs,uid=$user,gid=$user
EOF
  else
    cat <<EOF
              persistentVolumeClaim:
                claimName: $claim
EOF
  fi
}

print_node() {
  cat <<EOF
            securityContext:
              runAsUser: $user
              runAsGroup: $user
              fsGroup: $user
            nodeSelector:
EOF
  if [[ $tpu ]]; then
    cat <<EOF
              cloud.google.com/gke-tpu-accelerator: $tpu
              cloud.google.com/gke-tpu-topology: $topology
EOF
  else
    echo "              cloud.google.com/gke-accelerator: $gpu"
  fi
  if [[ $is_spot ]]; then
    cat <<EOF
              cloud.google.com/gke-spot: "true"
            tolerations:
            - key: cloud.google.com/gke-spot
              operator: Equal
              value: "true"
              effect: NoSchedule
EOF
  fi
}

print_environment() {
  cat <<EOF
              env:
              - name: FACEREP_STOPPED_EXIT_CODE
                value: "$stopped"
              - name: FACEREP_START_TIMEOUT_S
                value: "1800"
EOF
  if [[ $tpu ]]; then
    # GKE sets TPU_WORKER_ID and TPU_WORKER_HOSTNAMES, and MEGASCALE_* for
    # several slices; JAX reads them.
    cat <<EOF
              - name: FACEREP_DISTRIBUTED
                value: auto
EOF
  elif ((pods > 1)); then
    # By itself JAX would have to ask the Kubernetes API.
    cat <<EOF
              - name: FACEREP_COORDINATOR
                value: $name-train-0-0.$name:$port
              - name: FACEREP_NUM_PROCESSES
                value: "$pods"
              - name: FACEREP_PROCESS
                valueFrom:
                  fieldRef:
                    fieldPath: metadata.annotations['batch.kubernetes.io/job-completion-index']
EOF
  fi
}

[[ ! $tpu ]] || user=0
manifest=$(print_manifest "$@")
if [[ $is_dry ]]; then
  printf '%s\n' "$manifest" '# kubectl apply --filename=-'
  exit
fi
kubectl apply --filename=- <<<"$manifest"
echo "kubectl logs --follow --prefix --selector=jobset.sigs.k8s.io/jobset-name=$name shows the output; kubectl delete jobset $name ends it."
