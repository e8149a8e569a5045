#!/usr/bin/env bash
# Sets up a virtual environment with CUDA on this machine and runs a config in it.
#
#   launch/gpu.sh [--dry-run] CONFIG[:PRESET] [FLAG ...]
#   launch/gpu.sh configs/cifar10.py:fast --config.seed=1
#
# Run it again to continue an interrupted run. VENV names the environment (.venv).
set -euo pipefail
cd "$(dirname "$0")/.."

run=()
if [ "${1:-}" = "--dry-run" ]; then
  run=(echo)
  shift
fi
if [ $# -eq 0 ] || [ "${1#-}" != "$1" ]; then
  echo "usage: launch/gpu.sh [--dry-run] CONFIG[:PRESET] [FLAG ...]" >&2
  exit 2
fi
config="$1"
shift
venv="${VENV:-.venv}"

[ -x "$venv/bin/python" ] || "${run[@]}" python3 -m venv "$venv"
"${run[@]}" "$venv/bin/python" -m pip install --quiet --editable '.[cuda12]'
"${run[@]}" "$venv/bin/python" -m jaxstage.main --config="$config" "$@"
