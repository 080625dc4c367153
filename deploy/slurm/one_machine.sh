#!/usr/bin/env bash
# A cluster of one node on this machine, for trying job arrays: munge, Slurm's controller and a node with several slots.
# Everything of it is in one folder, it listens on the loopback address alone, and it needs root, as Slurm's node does.
#
#   one_machine.sh install          installs Debian's packages
#   one_machine.sh start FOLDER     starts the cluster; SLOTS=4 is how many tasks run at the same time
#   one_machine.sh crash FOLDER     kills the node's daemon and all its tasks, as if its power failed, and starts it again
#   one_machine.sh stop FOLDER      ends it
#
# After `start`, Slurm's commands find the cluster by SLURM_CONF=FOLDER/slurm.conf.
set -euo pipefail

usage() { sed -n '2,/^set/{/^set/!p}' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//' >&2; exit 2; }

install() {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
}

configure() {
    local folder=$1 user host
    user=$(id -un) host=$(hostname -s)
    mkdir -p "$folder"/{state,spool,log}
    # Munge wants a folder that nobody else can write to.
    chmod 0755 "$folder"
    [[ -f $folder/munge.key ]] || head -c 128 /dev/urandom >"$folder/munge.key"
    chmod 0400 "$folder/munge.key"
    cat >"$folder/slurm.conf" <<CONF
ClusterName=one_machine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${CONTROLLER_PORT:-16817}
SlurmdPort=${NODE_PORT:-16818}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=$user
AuthType=auth/munge
# A task that was killed starts again when its old credential has expired: after 5 seconds, not after two minutes.
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
# Without control groups, of which a container has none to give.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
# The slots are more than the cores, and only they count.
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
# A crashed node is noticed within seconds.
SlurmdTimeout=10
MessageTimeout=4
BatchStartTimeout=3
ReturnToService=2
JobRequeue=1
KillWait=2
MinJobAge=600
NodeName=$host NodeHostname=$host NodeAddr=127.0.0.1 CPUs=${SLOTS:-4} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
}

wait_for() {
    local what=$1
    shift
    for ((i = 0; i < 150; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    printf '%s did not come up\n' "$what" >&2
    return 1
}

idle() { [[ $(sinfo -h -o %t) =~ ^(idle|mix|alloc)$ ]]; }

start() {
    local folder=$1
    configure "$folder"
    export SLURM_CONF=$folder/slurm.conf
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/log/munged.log" --seed-file="$folder/munge.seed"
    wait_for munge munge --socket="$folder/munge.socket" -n
    slurmctld
    wait_for "Slurm's controller" scontrol ping
    slurmd
    wait_for "Slurm's node" idle
}

# The processes under a process, itself last.
below() {
    local child
    for child in $(pgrep -P "$1" || true); do
        below "$child"
    done
    echo "$1"
}

crash() {
    local folder=$1 daemon stepd process
    export SLURM_CONF=$folder/slurm.conf
    daemon=$(cat "$folder/slurmd.pid")
    kill -KILL "$daemon"
    # The tasks are children of one process each, which outlives the daemon.
    for stepd in $(pgrep -x slurmstepd || true); do
        for process in $(below "$stepd"); do
            kill -KILL "$process" 2>/dev/null || true
        done
    done
    slurmd -b # as after a boot: its jobs are gone
    wait_for "Slurm's node" idle
}

stop() {
    local folder=$1 name
    export SLURM_CONF=$folder/slurm.conf
    scancel --user="$(id -un)" 2>/dev/null || true
    for name in slurmd slurmctld munged; do
        [[ -f $folder/$name.pid ]] && kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
    done
    # They write into the folder until they have ended.
    for ((i = 0; i < 50; i++)); do
        pgrep -f "$folder" >/dev/null || break
        sleep 0.2
    done
}

case ${1:-} in
    install) install ;;
    start | crash | stop) "$1" "$(realpath -m "${2:?is the folder of the cluster}")" ;;
    *) usage ;;
esac
