"""The workers of a Dask cluster that somebody else started, and that is left running."""

import asyncio
import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from socket import gethostname
from typing import Any

import dask
from distributed import Client, Security
from distributed.comm import connect
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.core import send_recv

from dcam_dist import __version__
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.ingest.crews.crew import Crew, undisturbed, watch, workers_of
from dcam_dist.ingest.crews.ground import fault_of_ground, marked_ground

_LOG = logging.getLogger(__name__)

CONNECT_S = 10
PACKAGES = (
    "dask",
    "distributed",
    "cloudpickle",
    "msgpack",
    "numpy",
    "scipy",
    "zarr",
    "numcodecs",
    "SimpleITK",
    "pydicom",
)
"""Dask's own must agree to talk to each other at all; of the others the bytes of the cohort depend."""


@contextmanager
def running_crew(address: str, cohort: Path, sources: Sequence[Path], cases: int) -> Iterator[Crew]:
    """Join a running cluster.

    Args:
        address: Of the scheduler, ``tcp://host:port`` or ``tls://host:port``; certificates come from Dask's own
            configuration.
        cohort: The store, absolute.
        sources: What the workers must be able to read, absolute.
        cases: Not used: the cluster has the workers it has.

    Raises:
        EnvironmentFault: When the cluster does not answer, runs other versions, or a worker does not see the files.
    """
    with undisturbed(), _connect(address) as client, marked_ground(cohort, sources) as ground:
        _refuse_other_versions(address, client)
        for host, answer in _ask_all(client, address, fault_of_ground, ground).items():
            if answer is not None:
                raise EnvironmentFault(answer if isinstance(answer, str) else f"{address}: worker {host} fails")
        yield Crew(client, watch(client, address, "start some"), "give the workers of that cluster more", ground)


def check_address(address: str) -> None:
    """Refuse what is no address of a scheduler.

    Raises:
        UsageError: When it has another scheme, no host or no port.
    """
    try:
        scheme, location = parse_address(address, strict=True)
        host, port = parse_host_port(location)
    except ValueError:
        scheme, host, port = "", "", 0
    if scheme not in ("tcp", "tls") or not host or not 0 < port < 2**16:
        raise UsageError(
            f"--scheduler {address!r}: not an address of a scheduler; write tls://HOST:PORT or tcp://HOST:PORT"
        )


def versions_here() -> dict[str, str]:
    """Versions that all processes of one ingest must share."""
    found = {"host": gethostname(), "python": ".".join(platform.python_version_tuple()[:2]), "dcam_dist": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def difference(address: str, here: Mapping[str, str], there: Mapping[str, str], who: str) -> str | None:
    """One line on the versions that differ, or ``None``; only what both name is compared."""
    differing = sorted(name for name in here.keys() & there.keys() - {"host"} if here[name] != there[name])
    if not differing:
        return None
    shown = ", ".join(f"{name} {there[name]} instead of {here[name]}" for name in differing)
    return f"{address}: {who} has {shown}; start the cluster from the same environment as this command"


@contextmanager
def _connect(address: str) -> Iterator[Client]:
    with dask.config.set({"distributed.comm.timeouts.connect": f"{CONNECT_S}s"}):
        try:
            with ThreadPoolExecutor(1) as apart:  # the caller's thread may have an event loop
                apart.submit(asyncio.run, _call(address)).result()
            client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except Exception as error:  # no answer, no scheduler, no certificate: each another type
            raise EnvironmentFault(
                f"{address}: no Dask scheduler answers ({type(error).__name__}); check the address and, for tls://, "
                "the certificates in Dask's configuration (distributed.comm.tls)"
            ) from None
        if not address.startswith("tls://"):
            _LOG.warning("%s: without TLS the paths of the scans cross the network unencrypted", address)
        with client:
            yield client


async def _call(address: str) -> None:
    """See that a scheduler is there: a ``Client`` that fails to connect hangs and leaves a traceback behind."""
    async with asyncio.timeout(CONNECT_S):
        comm = await connect(address, timeout=CONNECT_S, **Security().get_connection_args("client"))
        try:
            about = await send_recv(comm, op="identity")
        finally:
            comm.abort()
    if about["type"] != "Scheduler":
        raise ConnectionError


def _refuse_other_versions(address: str, client: Client) -> None:
    here = versions_here()
    fault = difference(address, here, _scheduler_versions(client), "the scheduler")
    if fault:
        raise EnvironmentFault(fault)
    _refuse_unfit_workers(address, client)
    for worker, answer in _ask_all(client, address, versions_here).items():
        if not isinstance(answer, dict):
            raise EnvironmentFault(f"{address}: worker {worker} cannot import dcam_dist; install it there")
        if fault := difference(address, here, answer, f"the worker on {answer['host']}"):
            raise EnvironmentFault(fault)


def _refuse_unfit_workers(address: str, client: Client) -> None:
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except Exception:  # a TimeoutError of one of several kinds
        raise EnvironmentFault(f"{address}: the cluster has no worker; start some") from None
    for worker, threads in workers_of(client, address).items():
        if threads != 1:
            raise EnvironmentFault(
                f"{address}: worker {worker} has {threads} threads; start workers with --nthreads 1, one a core"
            )


def _scheduler_versions(client: Client) -> dict[str, str]:
    packages = client.get_versions()["scheduler"]["packages"]
    python = ".".join(packages.pop("python").split(".")[:2])
    return {"python": python, **{name: found for name, found in packages.items() if found}}


def _ask_all(client: Client, address: str, question: Any, *arguments: Any) -> dict[str, Any]:
    """What each worker answers; an exception where it cannot."""
    try:
        return dict(client.run(question, *arguments, on_error="return"))
    except Exception as error:
        raise EnvironmentFault(f"{address}: the workers do not answer ({type(error).__name__})") from None
