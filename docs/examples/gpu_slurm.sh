#!/bin/bash
# As slurm_array.sh, with one GPU for each task:
#   SOURCE=/data/volume.h5 ARCHIVE=/data/volume.zarr sbatch --array=0-7 gpu_slurm.sh
# The cores of a node with AVX-512 VNNI may well be faster: `jaxslice bench` says.
#SBATCH --job-name=jaxslice-gpu
#SBATCH --gpus-per-task=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@30
set -euo pipefail
: "${SOURCE:?names the volume}" "${ARCHIVE:?names the archive}"
# JAX takes three quarters of the GPU's memory at once otherwise, also what others need.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
exec jaxslice compress "$SOURCE" "$ARCHIVE" --engine=xla \
  --num_shards="${SLURM_ARRAY_TASK_COUNT:?is set in an array}" \
  --shard_index="$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN))" \
  ${FLAGS:-}
