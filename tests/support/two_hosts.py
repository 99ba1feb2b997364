"""Two hosts on this one machine, each with a launcher: see ``tests/netns/net.sh``."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
from support.processes import REPOSITORY, environment

NET = REPOSITORY / "tests" / "netns" / "net.sh"
PORT = 29411


class Hosts:
    """Two namespaces and what was started in them.

    Args:
        folder: For what they say.
        version: Of their addresses, 4 or 6.
    """

    def __init__(self, folder: Path, version: int = 4) -> None:
        self.folder, self.subnet, self.version = folder, os.getpid() % 256, version
        self.name = f"dcam{self.subnet}h"
        self.launchers: dict[int, subprocess.Popen[bytes]] = {}
        self._names: dict[int, Path] = {}
        self.net("down")
        self.net("up", self.subnet, version)

    def net(self, action: str, *arguments: object) -> None:
        """One of the actions of ``net.sh``."""
        subprocess.run([NET, action, self.name, *map(str, arguments)], check=True, timeout=20)

    def packets_held_back(self) -> int:
        """How many the limit of the cable has made wait, on the first host."""
        told = subprocess.run([NET, "limited", self.name], check=True, timeout=20, capture_output=True, text=True)
        return int(told.stdout)

    def on(self, host: int) -> list[str]:
        """What stands before a command that is to run on a host."""
        return [str(NET), "on", self.name, str(host)]

    def listens(self, host: int, port: int) -> bool:
        """Whether somebody on a host waits for connections to a port."""
        return bool(self._sockets(host, "-l", f"sport = :{port}"))

    def connected(self, host: int, port: int) -> bool:
        """Whether somebody on a host is connected to a port elsewhere."""
        return bool(self._sockets(host, "state", "established", f"dport = :{port}"))

    def _sockets(self, host: int, *wanted: str) -> bytes:
        asked = ["nsenter", f"--net=/run/netns/{self.name}{host}", "ss", "-Htn", *wanted]
        return subprocess.run(asked, check=True, capture_output=True).stdout

    def address(self, host: int) -> str:
        """As it stands in an endpoint."""
        return f"10.77.{self.subnet}.{host}" if self.version == 4 else f"[fd77::{host}]"

    def know(self, host: int, **addresses: str) -> None:
        """Let a host know names, in place of those of this machine."""
        self._names[host] = self.folder / f"hosts{host}"
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in addresses.items())]
        self._names[host].write_text("\n".join(lines) + "\n")

    def start(
        self,
        host: int,
        program: Sequence[object],
        *options: str,
        nodes: str = "2",
        endpoint: str = "",
        **variables: str,
    ) -> None:
        """A launcher with one rank; the same line on both hosts."""
        command = [
            *(*self.on(host), sys.executable, "-m", "dcam_dist.launch", f"--nnodes={nodes}"),
            *("--nproc_per_node=1", "--rdzv_backend=c10d"),
            *(f"--rdzv_endpoint={endpoint or f'{self.address(1)}:{PORT}'}", *options, *program),
        ]
        names = {"HOSTS_FILE": str(self._names[host])} if host in self._names else {}
        env = {**environment(), "TORCH_CPP_LOG_LEVEL": "FATAL", **names, **variables}
        with (self.folder / f"host{host}.txt").open("wb") as out:
            self.launchers[host] = subprocess.Popen(
                list(map(str, command)), cwd=REPOSITORY, env=env, stdout=out, stderr=out
            )

    def end(self, seconds: float) -> list[int]:
        """Exit codes of the launchers, host by host."""
        return [self.launchers[host].wait(seconds) for host in sorted(self.launchers)]

    def said(self, host: int) -> list[str]:
        """All lines of a host."""
        return (self.folder / f"host{host}.txt").read_text().splitlines()

    def lines(self, host: int) -> list[str]:
        """Those for the user."""
        return [line for line in self.said(host) if line.startswith("dcam-dist:")]

    def ranks(self) -> list[int]:
        """Process numbers of the ranks of both hosts."""
        return [rank.pid for one in self.launchers.values() for rank in psutil.Process(one.pid).children()]

    def close(self) -> None:
        """Kill what still runs, and remove the hosts."""
        for launcher in self.launchers.values():
            if launcher.poll() is None:
                for process in [psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)]:
                    process.kill()
                launcher.wait()
        self.launchers = {}
        self.net("down")
