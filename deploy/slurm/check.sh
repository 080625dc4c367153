#!/usr/bin/env bash
# Runs a job array on a cluster of one node on this machine, kills its tasks in every way that Slurm knows, and compares
# the collected ensemble with that of a run without Slurm, byte by byte.
#
#   check.sh [PROGRAM]     the compiled example job_array; without it, the script builds it
#
# It needs root, Slurm and munge (`one_machine.sh install`), takes two to three minutes, and leaves nothing behind.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

PROGRAM=${1:-}
if [[ -z $PROGRAM ]]; then
    cargo build --quiet --example job_array
    PROGRAM=${CARGO_TARGET_DIR:-target}/debug/examples/job_array
fi
PROGRAM=$(realpath "$PROGRAM")
export PROGRAM SLOTS=4

folder=$(mktemp -d)
export STORE=$folder/store SLURM_CONF=$folder/cluster/slurm.conf
finish() {
    "$here/one_machine.sh" stop "$folder/cluster"
    rm -rf "$folder"
}
trap finish EXIT
# A failure shows what the tasks and the daemons said.
trap 'tail -n 5 "$folder"/*.log "$folder"/cluster/log/*.log >&2' ERR

say() { printf '%s %s\n' "$(date +%T)" "$*"; }
states() { squeue -h -o '%i=%T' | sort | tr '\n' ' '; }
# Waits until a command succeeds.
until_true() {
    for ((i = 0; i < 600; i++)); do
        "$@" && return 0
        sleep 0.2
    done
    printf 'it did not happen within two minutes: %s; %s\n' "$*" "$(states)" >&2
    return 1
}
members() { find "$STORE" -name '*.safetensors' 2>/dev/null | wc -l; }
checkpoints() { find "$STORE" -name '*.checkpoint' 2>/dev/null | wc -l; }
at_least() { (($("$1") >= $2)); }
# Whether a task was started again at least so many times.
restarted() { [[ $(scontrol show job "$1" | sed -n 's/.*Restarts=\([0-9]*\).*/\1/p' | head -1) -ge ${2:-1} ]]; }
running() { [[ $(squeue -h -j "$1" -t RUNNING -o %T | wc -l) -ge ${2:-1} ]]; }
ended() { [[ -z $(squeue -h -j "$1" -o %T 2>/dev/null) ]]; }
submit() { sbatch --parsable --chdir="$folder" "$@"; }
# The process of the program in a task.
process() {
    local id
    for id in $(pgrep -f "^$PROGRAM --store $STORE"); do
        tr '\0' '\n' <"/proc/$id/environ" | grep -qx "SLURM_ARRAY_TASK_ID=$1" && { echo "$id"; return; }
    done
    return 1
}

# As many epochs as let an undisturbed array take some fifty seconds here, so that there is time to disturb it.
started=$(date +%s%N)
"$PROGRAM" --store "$folder/trial" --quiet --members 8 --epochs 10 --width 96 >/dev/null
epochs=$((10 * 50000 / (($(date +%s%N) - started) / 1000000 + 1)))
ensemble=(--members 8 --epochs $((epochs < 40 ? 40 : epochs)) --width 96)

say "without Slurm: ${ensemble[*]}"
"$PROGRAM" --store "$folder/alone" --quiet "${ensemble[@]}"
"$PROGRAM" --store "$folder/alone" --collect "$folder/alone.ensemble" "${ensemble[@]}"

"$here/one_machine.sh" start "$folder/cluster"
say "a cluster: $(sinfo -h -o '%D node, %c slots, %t'), $(sinfo --version)"

array=$(submit --array=0-3 "$here/job_array.sbatch" "${ensemble[@]}")
until_true running "$array" 4
until_true at_least checkpoints 2
say "array $array: $(states)"

# Slurm takes the tasks of the last seconds for such that are still to come up.
sleep 10
say "the node crashes: $(members) networks, $(checkpoints) unfinished"
"$here/one_machine.sh" crash "$folder/cluster"
for task in 0 1 2 3; do
    until_true restarted "${array}_$task"
done
say "Slurm has queued its tasks again: $(states)"

until_true running "$array" 4
until_true process 1 >/dev/null
say "SIGKILL to the program of task 1: $(members) networks, $(checkpoints) unfinished"
kill -KILL "$(process 1)"
until_true restarted "${array}_1" 2
say "scontrol requeue of task 2: $(states)"
scontrol requeue "${array}_2"
until_true restarted "${array}_2" 2

until_true running "$array" 4
say "scancel of the whole array: $(members) networks, $(checkpoints) unfinished"
scancel --signal=KILL --full "$array"
scancel "$array"
until_true ended "$array"

array=$(submit --array=0-3 "$here/job_array.sbatch" "${ensemble[@]}")
collect=$(submit --dependency="afterok:$array" "$here/collect.sbatch" "$folder/slurm.ensemble" "${ensemble[@]}")
say "the same array once more, $array, and $collect, which collects: $(states)"
until_true ended "$collect"
say "ended: $(members) networks, $(checkpoints) unfinished; $(cat "$folder/collect-$collect.log")"

# Compares everything with the run without Slurm.
same() {
    for file in "$folder"/alone/*; do
        cmp "$file" "$STORE/${file##*/}"
    done
    [[ $(ls "$STORE") == "$(ls "$folder/alone")" ]]
    "$PROGRAM" --store "$STORE" --collect "$folder/slurm.ensemble" "${ensemble[@]}" >"$folder/collect.log"
    cmp "$folder/alone.ensemble" "$folder/slurm.ensemble"
    say "the same bytes as without Slurm: $(members) networks, the plan and the ensemble"
}
same

export STORE=$folder/workers
array=$(submit --array=0-3 "$here/job_array.sbatch" "${ensemble[@]}" --worker --expiry 3)
until_true running "$array" 4
until_true at_least checkpoints 4
say "array $array of workers, which take one network after the other; scancel of task 3, which does not come back"
scancel "${array}_3"
sleep 1
"$PROGRAM" --store "$STORE" --status "${ensemble[@]}"
until_true ended "$array"
say "ended: $(members) networks, $(checkpoints) unfinished"
same
