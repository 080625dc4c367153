#!/usr/bin/env bash
# Trains an ensemble in four processes that mpirun starts, kills one rank in between, starts the same command again, and
# compares the collected ensemble with that of one process, byte by byte.
#
#   check.sh [PROGRAM]     the compiled example job_array; without it, the script builds it
#
# It needs Open MPI (Debian: openmpi-bin) and takes half a minute.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PROGRAM=${1:-}
if [[ -z $PROGRAM ]]; then
    cargo build --quiet --example job_array
    PROGRAM=${CARGO_TARGET_DIR:-target}/debug/examples/job_array
fi
PROGRAM=$(realpath "$PROGRAM")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
store=$folder/store

ensemble=(--members 8 --epochs 60 --width 96)
say() { printf '%s %s\n' "$(date +%T)" "$*"; }
count() { find "$store" -name "*.$1" 2>/dev/null | wc -l; }
# Four processes on this machine, which need not have four cores. Only root needs the two variables.
ranks() {
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe --mca btl self,vader -np 4 \
        "$PROGRAM" --store "$store" --threads 1 --quiet "${ensemble[@]}"
}

say "one process"
"$PROGRAM" --store "$folder/alone" --quiet "${ensemble[@]}"
"$PROGRAM" --store "$folder/alone" --collect "$folder/alone.ensemble" "${ensemble[@]}"

say "$(mpirun --version | head -1): four ranks"
ranks >"$folder/first.log" 2>&1 &
started=$!
until (($(count checkpoint) >= 4)); do
    kill -0 "$started" || { cat "$folder/first.log" >&2; exit 1; }
    sleep 0.1
done
say "SIGKILL to one rank: $(count safetensors) networks, $(count checkpoint) unfinished"
kill -KILL "$(pgrep -f "^$PROGRAM --store $store" | head -1)"
wait "$started" && { echo "mpirun did not notice" >&2; exit 1; }
say "mpirun has ended all ranks: $(grep -o 'exited on signal.*' "$folder/first.log")"

say "the same command once more: $(count safetensors) networks, $(count checkpoint) unfinished"
ranks
"$PROGRAM" --store "$store" --collect "$folder/mpi.ensemble" "${ensemble[@]}"
for file in "$folder"/alone/*; do
    cmp "$file" "$store/${file##*/}"
done
[[ $(ls "$store") == "$(ls "$folder/alone")" ]]
cmp "$folder/alone.ensemble" "$folder/mpi.ensemble"
say "the same bytes as of one process: $(count safetensors) networks, the plan and the ensemble"
