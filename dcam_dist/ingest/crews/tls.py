"""TLS between the processes of one ingest, with a key that is made for it.

Whoever may connect to a Dask scheduler or worker may run code as its owner, and loopback is open to every user of a
shared login node. The key is therefore asked for on each connection, on both sides.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Security

from dcam_dist.errors import EnvironmentFault

ROLES = ("client", "scheduler", "worker")


class MemorySecurity(Security):  # type: ignore[misc]
    """Dask's temporary credentials; its own class writes the key to a file for OpenSSL to read, this one never."""

    def _get_tls_context(self, tls: dict[str, str], purpose: ssl.Purpose) -> ssl.SSLContext:
        """An OpenSSL context that demands and shows the one certificate of this ingest."""
        context = ssl.create_default_context(purpose=purpose, cadata=tls["ca_file"])
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # the certificate is no host's; only this ingest has its key
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # a self-signed certificate without key identifiers
        with _in_memory(tls["cert"] + tls["key"]) as path:
            context.load_cert_chain(path)
        return context


def temporary_security() -> Any:
    """Fresh credentials for all processes of one ingest.

    Raises:
        EnvironmentFault: When the package ``cryptography`` is missing.
    """
    try:
        return MemorySecurity.temporary()
    except ImportError:
        raise EnvironmentFault("several worker processes need the package cryptography: install it") from None


def file_security(folder: Path) -> Any:
    """The same in files, for workers that are started elsewhere and can be handed nothing but paths.

    Args:
        folder: Private, and removed in the end by the caller.

    Raises:
        EnvironmentFault: When the package ``cryptography`` is missing.
    """
    made = temporary_security().get_tls_config_for_role("worker")
    files = {"cert": folder / "cert.pem", "key": folder / "key.pem"}
    for name, path in files.items():
        path.touch(mode=0o600)
        path.write_text(made[name], encoding="ascii")
    roles = {f"tls_{role}_{name}": str(path) for role in ROLES for name, path in files.items()}
    return Security(require_encryption=True, tls_ca_file=str(files["cert"]), **roles)


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
