# SPDX-License-Identifier: Apache-2.0
"""The authorities' lists of revoked meters that a utility or an MDMS goes by, in its folder.

    authorities/*.pem                who may issue such lists
    authorities/NAME.revocations     the latest list of the authority whose key begins with NAME

Errors: StoreError, EnrolmentRefused
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.revocations import RevocationList
from utility_server.durable import replace_file
from utility_server.errors import EnrolmentRefused, StoreError
from utility_server.folders import alone_in

SUFFIX: Final = ".revocations"


def read_authorities(folder: Path) -> tuple[bytes, ...]:
    """Return the authorities' keys in a folder; raise `StoreError` for a file that is none."""
    keys = []
    for path in sorted((folder / "authorities").glob("*.pem")):
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise StoreError(f"{path}: not an Ed25519 public key in PEM")
        keys.append(key.public_bytes_raw())
    return tuple(keys)


def read_revocations(folder: Path, authorities: Sequence[bytes]) -> tuple[RevocationList, ...]:
    """Return the lists that are there; raise `StoreError` where one is damaged."""
    lists = []
    for path in sorted((folder / "authorities").glob(f"*{SUFFIX}")):
        try:
            one = RevocationList.decode(path.read_bytes())
        except (OSError, MalformedMessage) as error:
            raise StoreError(f"{path}: {error}") from None
        if not any(one.is_by(authority) for authority in authorities):
            raise StoreError(f"{path}: of no authority that is trusted here")
        lists.append(one)
    return tuple(lists)


def take_revocations(folder: Path, authorities: Sequence[bytes], data: bytes) -> RevocationList:
    """Keep a list in the place of its authority's earlier one; raise `EnrolmentRefused`.

    The same list again changes nothing. An earlier one, or one that lets somebody back in, is none.
    """
    try:
        new = RevocationList.decode(data)
    except MalformedMessage as error:
        raise EnrolmentRefused(str(error)) from None
    issuer = next((one for one in authorities if new.is_by(one)), None)
    if issuer is None:
        raise EnrolmentRefused("issued by no authority that is trusted here")
    path = folder / "authorities" / f"{issuer.hex()[:16]}{SUFFIX}"
    with alone_in(path.parent):
        if path.exists():
            known = RevocationList.decode(path.read_bytes())
            if known == new:
                return new
            if not new.replaces(known):
                raise EnrolmentRefused(
                    f"list {new.number} does not go on from list {known.number}, which is known"
                )
        replace_file(path, data)
    return new
