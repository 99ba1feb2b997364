#!/usr/bin/env bash
# A Slurm of two nodes on this one machine, for tests: as root, without systemd, everything in one folder. A job of the partition
# urgent preempts those of the partition cpu, which have 20 s to leave.
#   tests/slurm/up.sh [--install] DIR     then: export SLURM_CONF=DIR/slurm.conf
# --install fetches Debian's packages slurm-wlm and munge first. DIR must have a short path (it holds a socket).
set -euo pipefail

if [ "${1:-}" = --install ]; then
  shift
  export DEBIAN_FRONTEND=noninteractive
  apt-get -o DPkg::Lock::Timeout=300 update -qq
  apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-install-recommends slurm-wlm munge >/dev/null
fi
dir=${1:?usage: up.sh [--install] DIR}
nodes=2
for program in munged slurmctld slurmd sinfo; do
  command -v "$program" >/dev/null || { echo "up.sh: $program is missing; call it with --install" >&2; exit 4; }
done
[ "$(id -u)" = 0 ] || { echo "up.sh: Slurm's daemons are started as root here" >&2; exit 4; }

mkdir -p "$dir"/{munge,state,spool,log,pid}
chmod 755 "$dir"
chmod 711 "$dir/munge" # others must reach the socket, but not list the key
head -c 64 /dev/urandom >"$dir/munge/key"
chmod 600 "$dir/munge/key"
munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/pid/munged.pid" \
  --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

cat >"$dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/pid/slurmctld.pid
SlurmdPidFile=$dir/pid/%n.pid
SlurmctldLogFile=$dir/log/slurmctld
SlurmdLogFile=$dir/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0,requeue_delay=1
KillWait=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
ReturnToService=2
CONF
for ((i = 1; i <= nodes; i++)); do
  echo "NodeName=n$i NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$(free_port) CPUs=$(nproc) RealMemory=6000" \
    >>"$dir/slurm.conf"
done
echo "PartitionName=cpu Nodes=n[1-$nodes] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20" >>"$dir/slurm.conf"
echo "PartitionName=urgent Nodes=n[1-$nodes] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF" >>"$dir/slurm.conf"

export SLURM_CONF=$dir/slurm.conf
slurmctld -c
for ((i = 1; i <= nodes; i++)); do
  mkdir -p "$dir/spool/n$i"
  slurmd -N "n$i"
done
for ((try = 0; try < 300; try++)); do
  [ "$(sinfo --noheader --states=idle --format=%D 2>/dev/null)" = "$nodes" ] && exit 0
  sleep 0.1
done
echo "up.sh: the nodes did not become idle; see $dir/log" >&2
exit 1
