#!/bin/bash
# Fits the network once, runs an array of jobs, and completes the archive whatever the array did:
#   SOURCE=/data/volume.h5 ARCHIVE=/data/volume.zarr TASKS=64 ./slurm_submit.sh
set -euo pipefail
: "${SOURCE:?names the volume}" "${ARCHIVE:?names the archive}"
export SOURCE ARCHIVE FLAGS="${FLAGS:-}"
here=$(cd "$(dirname "$0")" && pwd)

plan=$(sbatch --parsable --job-name=jaxslice-plan --cpus-per-task=8 --mem-per-cpu=1G \
  --time=01:00:00 --wrap "jaxslice plan '$SOURCE' '$ARCHIVE' $FLAGS")
array=$(sbatch --parsable --dependency="afterok:$plan" --array="0-$((${TASKS:-64} - 1))" \
  "$here/slurm_array.sh")
sbatch --parsable --dependency="afterany:$array" --job-name=jaxslice-seal --cpus-per-task=8 \
  --mem-per-cpu=1G --time=01:00:00 --wrap "jaxslice seal '$ARCHIVE'"
