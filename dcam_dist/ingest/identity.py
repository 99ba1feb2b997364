"""Pseudonyms: case ids and patient keys, and the private file that leads back from them.

Where the table gives no id, an id is HMAC-SHA256 of the scan's own identity under a random key. Key and mapping lie
in one file beside the cohort that only its owner can read. Whoever has the cohort alone cannot name a patient.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcam_dist.errors import DataError

SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEY_BYTES = 32
ID_DIGITS = 16


@dataclass(frozen=True, repr=False)
class PrivateIdentity:
    """What leads from pseudonyms back to sources.

    Attributes:
        key: Secret of the keyed hashes.
        cases: For each case id, where it came from.
        call: How ingest was called last, as plain JSON: what a repair does again.
    """

    key: bytes
    cases: Mapping[str, Mapping[str, str]]
    call: Mapping[str, Any] | None = None

    def pseudonym(self, identity: str) -> str:
        """The keyed hash of an identity, as short hex."""
        return hmac.new(self.key, identity.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:ID_DIGITS]

    def case_id(self, given: str | None, identity: str, *, hash_ids: bool, where: str) -> str:
        """The id of a case: the given one as it is, else a keyed hash.

        Args:
            given: The table's ``case_id``, pseudonymous already.
            identity: The scan's own identity, used without a given id.
            hash_ids: Hash the given id too.
            where: Table and line of the given id, for the error; the id itself may be a name.

        Raises:
            DataError: When the given id is not safe as a folder name.
        """
        if given is None:
            return self.pseudonym(identity)
        if hash_ids:
            return self.pseudonym(f"given:{given}")
        if not SAFE_ID.fullmatch(given):
            raise DataError(
                f"{where}: case_id is not usable as a folder name (letters, digits, . _ -, at most 64, "
                "a letter or digit first): rename it or pass --hash-ids"
            )
        return given


def private_path(cohort: Path) -> Path:
    """Where the key and mapping of a cohort lie: ``COHORT.private.json`` beside ``COHORT.zarr``."""
    stem = cohort.stem if cohort.suffix == ".zarr" else cohort.name
    return cohort.with_name(f"{stem}.private.json")


def load_identity(path: Path) -> PrivateIdentity:
    """Read the private file, or make a new key where there is none yet.

    Raises:
        DataError: When the file is there but not readable as one.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        key = bytes.fromhex(tree["key"])
        if len(key) != KEY_BYTES:
            raise ValueError("short key")
        cases = {str(case): dict(origin) for case, origin in tree["cases"].items()}
        return PrivateIdentity(key, cases, tree.get("call"))
    except FileNotFoundError:
        return PrivateIdentity(secrets.token_bytes(KEY_BYTES), {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{path}: not a readable key file; restore it, or move it away with its cohort to begin with a new key"
        ) from None


def save_identity(path: Path, identity: PrivateIdentity) -> None:
    """Write the private file for its owner alone; the file is either the old or the new one."""
    for left in [other for other in path.parent.iterdir() if other.name.startswith(f".{path.name}.")]:
        left.unlink()  # of a call that was killed while writing: names must not lie about
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    cases = {case: dict(origin) for case, origin in identity.cases.items()}
    tree = {"key": identity.key.hex(), "cases": cases, "call": identity.call}
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        json.dump(tree, stream, indent=1, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
