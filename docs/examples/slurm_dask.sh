#!/bin/bash
# Compresses SOURCE into ARCHIVE on workers that SLURM starts and ends as needed:
#   SOURCE=/data/volume.h5 ARCHIVE=/data/volume.zarr sbatch slurm_dask.sh
# Needs: pip install 'jaxslice[cluster]' dask-jobqueue
#SBATCH --job-name=jaxslice-dask
#SBATCH --cpus-per-task=2
#SBATCH --mem-per-cpu=2G
#SBATCH --time=24:00:00
set -euo pipefail
: "${SOURCE:?names the volume}" "${ARCHIVE:?names the archive}"
python "${HERE:-$(dirname "$0")}/slurm_dask.py" "$SOURCE" "$ARCHIVE"
