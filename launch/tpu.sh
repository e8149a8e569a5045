#!/usr/bin/env bash
# Runs a config on a Google Cloud TPU VM: one VM, or all workers of a pod slice.
#
#   launch/tpu.sh [--dry-run] create                                # makes the TPU
#   launch/tpu.sh [--dry-run] setup                                 # copies this repository there and installs it
#   launch/tpu.sh [--dry-run] run CONFIG[:PRESET] [FLAG ...]        # the same command on all workers
#   launch/tpu.sh [--dry-run] fetch DIR                             # copies WORKDIR here, into DIR
#   launch/tpu.sh [--dry-run] delete
#
# Needs the gcloud CLI, logged in, and in the environment:
#   TPU      name of the TPU                       ZONE     its zone, like us-central2-b
#   TYPE     like v4-8 (one VM), v4-32 (a slice)   VERSION  software (tpu-ubuntu2204-base)
#   WORKDIR  where the run keeps its files: with several workers a folder that all share, a mounted bucket or NFS
#   SPOT=1   a preemptible TPU                     TFDS_DATA_DIR  where the data sets lie there
# Only create needs TYPE and VERSION, only run and fetch need WORKDIR. Run `run` again to continue an interrupted run.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  sed -n 's/^#   \(launch\/tpu.sh.*\)/\1/p' "$0" | sed '1s/^/usage: /' >&2
  exit 2
}
execute=()
if [ "${1:-}" = "--dry-run" ]; then
  execute=(echo)
  shift
fi
action="${1:-}"
[ $# -gt 0 ] && shift
need() {
  for name in "$@"; do
    [ -n "${!name:-}" ] || { echo "error: $name is not set: see the top of launch/tpu.sh" >&2; exit 2; }
  done
}
on_all_workers() {
  "${execute[@]}" gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="$1"
}

case "$action" in
  create)
    need TPU ZONE TYPE
    spot=()
    [ -z "${SPOT:-}" ] || spot=(--spot)
    "${execute[@]}" gcloud compute tpus tpu-vm create "$TPU" --zone="$ZONE" --accelerator-type="$TYPE" \
      --version="${VERSION:-tpu-ubuntu2204-base}" "${spot[@]}"
    ;;
  setup)
    need TPU ZONE
    archive="$(mktemp -d)/jaxstage.tar.gz"
    trap 'rm -rf "$(dirname "$archive")"' EXIT
    "${execute[@]}" git archive --format=tar.gz --output="$archive" HEAD
    "${execute[@]}" gcloud compute tpus tpu-vm scp "$archive" "$TPU:jaxstage.tar.gz" --zone="$ZONE" --worker=all
    python="sudo apt-get update -qq && sudo apt-get install -yqq python3.11 python3.11-venv && python3.11 -m venv .venv"
    on_all_workers "mkdir -p jaxstage && tar xzf jaxstage.tar.gz -C jaxstage && cd jaxstage && \
{ [ -x .venv/bin/python ] || { $python; }; } && .venv/bin/python -m pip install --quiet --editable '.[tpu]'"
    ;;
  run)
    need TPU ZONE WORKDIR
    if [ $# -eq 0 ] || [ "${1#-}" != "$1" ]; then usage; fi
    config="$1"
    shift
    command="cd jaxstage &&"
    [ -z "${TFDS_DATA_DIR:-}" ] || command+=" TFDS_DATA_DIR=$(printf %q "$TFDS_DATA_DIR")"
    command+=" .venv/bin/python -m jaxstage.main --config=$(printf %q "$config")"
    command+=" --workdir=$(printf %q "$WORKDIR") --coordinator=auto"
    for flag in "$@"; do
      command+=" $(printf %q "$flag")"
    done
    on_all_workers "$command"
    ;;
  fetch)
    need TPU ZONE WORKDIR
    [ $# -eq 1 ] || usage
    "${execute[@]}" mkdir -p "$1"
    "${execute[@]}" gcloud compute tpus tpu-vm scp --recurse "$TPU:$WORKDIR" "$1" --zone="$ZONE" --worker=0
    ;;
  delete)
    need TPU ZONE
    "${execute[@]}" gcloud compute tpus tpu-vm delete "$TPU" --zone="$ZONE" --quiet
    ;;
  *) usage ;;
esac
