#!/usr/bin/env bash
# Sets up a virtual environment with CUDA on this machine and runs a config in it.
#
#   launch/gpu.sh [--dry-run] CONFIG[:PRESET] [FLAG ...]
#   launch/gpu.sh configs/cifar10.py:fast --config.seed=1
#
# Run it again to continue an interrupted run. VENV names the environment (.venv). It gets CUDA 13 where the NVIDIA
# driver is 580 or later, CUDA 12 where it is 525 or later, and keeps the one that it has. CUDA=cuda12 or CUDA=cuda13
# overrides this: GPUs before Turing (compute capability below 7.5, like V100) need CUDA=cuda12.
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

fail() {
  echo "error: $1" >&2
  exit "${2:-1}"
}
cuda="${CUDA:-}"
# A newer driver must not put a second CUDA, gigabytes of it, beside the one that JAX already uses here.
for extra in cuda12 cuda13; do
  [ -n "$cuda" ] || ! compgen -G "$venv/lib/python*/site-packages/jax_${extra}_plugin" >/dev/null || cuda="$extra"
done
if [ -z "$cuda" ]; then
  # A broken driver makes nvidia-smi complain on stdout, with a status that is not 0.
  drivers="$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null)" || drivers=""
  driver="${drivers%%$'\n'*}"
  major="${driver%%.*}"
  if ! [ "$major" -ge 0 ] 2>/dev/null; then
    [ ${#run[@]} -gt 0 ] || fail "no NVIDIA driver found (nvidia-smi): install one, 525 or later; \
on a machine without a GPU: python -m pip install -e . ; or name the extra with CUDA=cuda12"
    echo "no NVIDIA driver found (nvidia-smi): this dry run assumes cuda12" >&2
    cuda=cuda12
  elif [ "$major" -ge 580 ]; then
    cuda=cuda13
  elif [ "$major" -ge 525 ]; then
    cuda=cuda12
  else
    fail "NVIDIA driver $driver is too old: install 580 or later for CUDA 13, or at least 525 for CUDA 12"
  fi
fi
case "$cuda" in
  cuda12 | cuda13) ;;
  *) fail "CUDA is cuda12 or cuda13, not $cuda" 2 ;;
esac

[ -x "$venv/bin/python" ] || "${run[@]}" python3 -m venv "$venv"
"${run[@]}" "$venv/bin/python" -m pip install --quiet --editable ".[$cuda]"
"${run[@]}" "$venv/bin/python" -m jaxstage.main --config="$config" "$@"
