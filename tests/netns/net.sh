#!/usr/bin/env bash
# Two hosts on this one machine: network namespaces NAME1 (10.77.N.1) and NAME2 (10.77.N.2), joined by a cable.
#   tests/netns/net.sh up NAME N [6]  make them; NAME of at most 10 letters, N from 0 to 255; 6: fd77::1 and fd77::2 alone
#   tests/netns/net.sh cut NAME       pull the cable
#   tests/netns/net.sh join NAME      put it back
#   tests/netns/net.sh limit NAME RATE     let it carry so much in each direction: 200mbit
#   tests/netns/net.sh limited NAME        how many packets had to wait for that so far
#   tests/netns/net.sh drop NAME HOST PORT let host 1 or 2 drop what the other sends to a TCP port
#   tests/netns/net.sh down NAME      remove them
#   tests/netns/net.sh on NAME HOST COMMAND...    run something on host 1 or 2, which is then called NAME1 or NAME2;
#                                                 HOSTS_FILE=FILE gives it names of its own in place of /etc/hosts
set -euo pipefail
action=${1:?usage: net.sh up|cut|join|limit|limited|drop|down|on NAME ...}
name=${2:?usage: net.sh $action NAME ...}

command -v ip >/dev/null || { echo "net.sh: ip is missing; install Debian's iproute2" >&2; exit 4; }
[ "$(id -u)" = 0 ] || { echo "net.sh: network namespaces are made as root" >&2; exit 4; }

case $action in
up)
  for host in 1 2; do
    ip netns add "$name$host"
    ip -n "$name$host" link set lo up
  done
  ip link add "${name}v1" netns "${name}1" type veth peer name "${name}v2" netns "${name}2"
  for host in 1 2; do
    address="10.77.${3:?}.$host/24"
    [ "${4:-4}" = 4 ] || address="fd77::$host/64 nodad"
    # shellcheck disable=SC2086  # an address and its options
    ip -n "$name$host" addr add $address dev "${name}v$host"
    ip -n "$name$host" link set "${name}v$host" up
  done
  ;;
cut) ip -n "${name}2" link set "${name}v2" down ;;
join) ip -n "${name}2" link set "${name}v2" up ;;
limit)
  for host in 1 2; do
    tc -n "$name$host" qdisc replace dev "${name}v$host" root tbf rate "${3:?}" burst 256kb latency 100ms
  done
  ;;
limited) tc -n "${name}1" -s qdisc show dev "${name}v1" | sed -n 's/.*overlimits \([0-9]*\).*/\1/p' | head -n 1 ;;
drop) nsenter --net="/run/netns/$name${3:?}" iptables -A INPUT -i "${name}v$3" -p tcp --dport "${4:?}" -j DROP ;;
down) for host in 1 2; do ip netns del "$name$host" 2>/dev/null || true; done ;;
on)
  host=$name${3:?}
  shift 3
  # shellcheck disable=SC2016  # for the inner shell
  exec nsenter --net="/run/netns/$host" unshare --uts --mount bash -c \
    'hostname "$0"; [ -z "${HOSTS_FILE:-}" ] || mount --bind "$HOSTS_FILE" /etc/hosts; exec "$@"' "$host" "$@"
  ;;
*)
  echo "net.sh: no such action: $action" >&2
  exit 2
  ;;
esac
