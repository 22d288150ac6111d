#!/bin/sh
# Find the seizures of $INPUT in /data and write them to $OUTPUT in /output, as SzCORE's benchmark asks.
#
# SzCORE makes OUTPUT before, empty, in a folder that the container's user cannot write to. So the events are written
# aside, complete, and then into that file.
set -eu
: "${INPUT:?the name of an EDF file in /data is missing: -e INPUT=a.edf}"
: "${OUTPUT:?the name of the events file is missing: -e OUTPUT=a.tsv}"
aside=$(mktemp -d)
trap 'rm -rf "$aside"' EXIT
python -m eval.detect "${DATA:-/data}/$INPUT" "$aside/events.tsv" --run "${RUN:-/app/run}" --missing zero \
    ${HEAD:+--head "$HEAD"}
output="${RESULTS:-/output}/$OUTPUT"
mkdir -p "$(dirname "$output")"
cat "$aside/events.tsv" > "$output"
