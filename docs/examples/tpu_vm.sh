#!/bin/bash
# Compresses on all hosts of a TPU slice. From a machine with gcloud:
#   SOURCE=gs://bucket/volume ARCHIVE=gs://bucket/volume.zarr TPU=name ZONE=zone HOSTS=4 ./tpu_vm.sh
# Each host codes a part of its own; the last one completes the archive.
set -euo pipefail
: "${SOURCE:?}" "${ARCHIVE:?}" "${TPU:?}" "${ZONE:?}" "${HOSTS:?says how many hosts the slice has}"
on_hosts() {
  gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker="$1" --command="$2"
}
on_hosts all "pip install -q 'jaxslice[tpu]'"
on_hosts 0 "jaxslice plan '$SOURCE' '$ARCHIVE' --engine=xla"
# A host knows its place in the slice by its name's end, and stops with the others' work kept.
on_hosts all "nohup jaxslice compress '$SOURCE' '$ARCHIVE' --engine=xla --num_shards=$HOSTS \
  --shard_index=\$(hostname | sed 's/.*-w-//') > jaxslice.log 2>&1 < /dev/null &"
echo "To look: jaxslice status $ARCHIVE"
