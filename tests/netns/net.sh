#!/usr/bin/env bash
# Two hosts on this one machine: network namespaces NAME1 (10.77.N.1) and NAME2 (10.77.N.2), joined by a cable.
#   tests/netns/net.sh up NAME N      make them; NAME of at most 10 letters, N from 0 to 255
#   tests/netns/net.sh cut NAME       pull the cable
#   tests/netns/net.sh join NAME      put it back
#   tests/netns/net.sh down NAME      remove them
#   tests/netns/net.sh on NAME HOST COMMAND...    run something on host 1 or 2, which is then called NAME1 or NAME2
set -euo pipefail
action=${1:?usage: net.sh up|cut|join|down|on NAME ...}
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
    ip -n "$name$host" addr add "10.77.${3:?}.$host/24" dev "${name}v$host"
    ip -n "$name$host" link set "${name}v$host" up
  done
  ;;
cut) ip -n "${name}2" link set "${name}v2" down ;;
join) ip -n "${name}2" link set "${name}v2" up ;;
down) for host in 1 2; do ip netns del "$name$host" 2>/dev/null || true; done ;;
on)
  host=$name${3:?}
  shift 3
  # shellcheck disable=SC2016  # for the inner bash to expand
  exec nsenter --net="/run/netns/$host" unshare --uts bash -c 'hostname "$0" && exec "$@"' "$host" "$@"
  ;;
*)
  echo "net.sh: no such action: $action" >&2
  exit 2
  ;;
esac
