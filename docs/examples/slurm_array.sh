#!/bin/bash
# Compresses SOURCE into ARCHIVE by an array of jobs:
#   SOURCE=/data/volume.h5 ARCHIVE=/data/volume.zarr sbatch --array=0-63 slurm_array.sh
# Tasks may run in any order, be requeued and repeated. The last one completes the archive.
#SBATCH --job-name=jaxslice
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=1G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# Thirty seconds before it is killed a task is told, and keeps what it has finished.
#SBATCH --signal=TERM@30
set -euo pipefail
: "${SOURCE:?names the volume}" "${ARCHIVE:?names the archive}"

# Compiled programs are kept where all nodes see them.
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$HOME/.cache/jaxslice/xla}"

# The shell gives its place to jaxslice, which then gets the signals itself.
exec jaxslice compress "$SOURCE" "$ARCHIVE" \
  --num_shards="${SLURM_ARRAY_TASK_COUNT:?is set in an array}" \
  --shard_index="$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN))" \
  --log_blocks="${LOGS:-.}/blocks-$SLURM_ARRAY_TASK_ID.jsonl" \
  ${FLAGS:-}
