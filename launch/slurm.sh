#!/usr/bin/env bash
# Runs a config on several nodes of a SLURM cluster, one process a node, with all GPUs of each.
#
#   launch/slurm.sh [--dry-run] NODES CONFIG[:PRESET] [FLAG ...]
#   launch/slurm.sh 4 configs/imagenet2012.py:bottleneck --workdir=/shared/runs/resnet --config.seed=1
#
# Run it where sbatch is, in a clone on storage that the nodes share, after launch/gpu.sh or pip has filled VENV
# (.venv). --workdir must lie on shared storage too. Two minutes before TIME (24:00:00) is over SLURM sends SIGTERM: the
# run saves, ends, and is put into the queue again, as after a preemption. GPUS a node (8) and PARTITION are optional.
set -euo pipefail
cd "$(dirname "$0")/.."

dry_run=""
if [ "${1:-}" = "--dry-run" ]; then
  dry_run=1
  shift
fi
if [ $# -lt 2 ] || ! [ "$1" -ge 1 ] 2>/dev/null || [ "${2#-}" != "$2" ]; then
  echo "usage: launch/slurm.sh [--dry-run] NODES CONFIG[:PRESET] [FLAG ...]" >&2
  exit 2
fi
nodes="$1" config="$2"
shift 2
command="${VENV:-.venv}/bin/python -m jaxstage.main --config=$(printf %q "$config")"
for flag in "$@"; do
  command+=" $(printf %q "$flag")"
done
partition=""
[ -z "${PARTITION:-}" ] || partition="#SBATCH --partition=$PARTITION"

# 143 is 128 + SIGTERM: saved, and not finished. srun has the signal from SLURM itself; the script waits for its end.
job="$(cat <<JOB
#!/usr/bin/env bash
#SBATCH --job-name=jaxstage
#SBATCH --nodes=$nodes
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=${GPUS:-8}
#SBATCH --time=${TIME:-24:00:00}
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
$partition
status=0
srun --kill-on-bad-exit=0 $command || status=\$?
[ "\$status" -ne 143 ] || scontrol requeue "\$SLURM_JOB_ID"
exit "\$status"
JOB
)"
if [ -n "$dry_run" ]; then
  echo "$job"
else
  sbatch <<<"$job"
fi
