# SPDX-License-Identifier: Apache-2.0
"""The MDMS's folder.

mdms.db                  sums of regions and what was published of them, sealed
database.url             where they are instead, if they are in PostgreSQL
keys/*.wrap.pem          wraps the data keys of mdms.db
keys/signing.key         signs rosters and rounds
public.pem               the signing key's public half, for hubs and concentrators
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import URL

from protocols.aggregation.errors import KeyRefused
from protocols.aggregation.paillier import PaillierPrivateKey
from protocols.aggregation.revocations import RevocationList
from protocols.aggregation.split_key import KeyShare, split_key
from utility_server.errors import StoreError
from utility_server.folders import new_folder
from utility_server.grid.mdms.admitted_meters import Members
from utility_server.grid.mdms.rosters import Rosters
from utility_server.grid.mdms.store import AggregateStore
from utility_server.keys import public_pem, read_secret, write_secret
from utility_server.locations import keep_location, location_in
from utility_server.revocations import read_authorities, read_revocations

PAILLIER_BITS: Final = (2048, 3072)
_SEED_SIZE: Final = 32


@dataclass(slots=True)
class Mdms:
    """An opened MDMS; close it when done."""

    folder: Path
    signing: Ed25519PrivateKey = field(repr=False)
    paillier: PaillierPrivateKey | KeyShare = field(repr=False)
    authorities: tuple[bytes, ...]
    """The Ed25519 keys of the metering authorities that it trusts."""
    store: AggregateStore
    now: Callable[[], int] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    @classmethod
    def create(
        cls,
        folder: Path,
        authorities: Sequence[Ed25519PublicKey] = (),
        *,
        paillier: PaillierPrivateKey | int = PAILLIER_BITS[0],
        trustee_share: Path | None = None,
        database: URL | None = None,
        randomness: Callable[[int], bytes] = os.urandom,
        now: Callable[[], int] = lambda: int(time.time()),
    ) -> Self:
        """Make an MDMS with new keys in an empty or new folder; raise `StoreError` in any other.

        `paillier` is the bits of a new Paillier key, or a key that there is already.
        With `trustee_share` the Paillier key is split: the other share goes to that new file, for
        the trustee, and nobody keeps the whole. Its tables are in a file there, or in the empty
        PostgreSQL `database` of this URL. Where it cannot be made, nothing of it stays.
        """
        with new_folder(folder, "an MDMS"):
            _fill(folder, authorities, database, randomness)
            if isinstance(paillier, int):
                paillier = PaillierPrivateKey.generate(paillier, randomness)
            _require_fit(paillier)
            _keep(folder / "keys", paillier, trustee_share, randomness)
            return cls.open(folder, randomness=randomness, now=now)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        randomness: Callable[[int], bytes] = os.urandom,
        now: Callable[[], int] = lambda: int(time.time()),
    ) -> Self:
        """Open the MDMS in `folder`; raise `StoreError` where there is none."""
        location = location_in(folder, "mdms.db")
        if location is None:
            raise StoreError(f"{folder}: there is no MDMS; `meterlet mdms init` makes one")
        seed = read_secret(folder / "keys" / "signing.key", _SEED_SIZE)
        paillier = read_paillier(folder / "keys")
        authorities = read_authorities(folder)
        store = AggregateStore.open(location, folder / "keys", randomness)
        signing = Ed25519PrivateKey.from_private_bytes(seed)
        return cls(folder, signing, paillier, authorities, store, now, randomness)

    @property
    def members(self) -> Members:
        """The meters that may be aggregated."""
        return Members(self.store.engine, self.authorities)

    @property
    def rosters(self) -> Rosters:
        """The keys that members of regions have told."""
        return Rosters(self.store.engine)

    @property
    def revocations(self) -> tuple[RevocationList, ...]:
        """The authorities' lists of meters that count no more."""
        return read_revocations(self.folder, self.authorities)

    def close(self) -> None:
        """Close the database."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _fill(
    folder: Path,
    authorities: Sequence[Ed25519PublicKey],
    database: URL | None,
    randomness: Callable[[int], bytes],
) -> None:
    """Make the signing key, authorities and store."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700, parents=True)
    folder.chmod(0o700)
    seed = randomness(_SEED_SIZE)
    write_secret(keys / "signing.key", seed)
    (folder / "public.pem").write_bytes(
        public_pem(Ed25519PrivateKey.from_private_bytes(seed).public_key())
    )
    (folder / "authorities").mkdir(mode=0o700)
    for number, authority in enumerate(authorities):
        (folder / "authorities" / f"{number}.pem").write_bytes(public_pem(authority))
    if database is not None:
        keep_location(folder, database)
    AggregateStore.create(database or folder / "mdms.db", keys, randomness).close()


def _require_fit(key: PaillierPrivateKey) -> None:
    """Raise `StoreError` for a key under which hubs would not be safe to encrypt."""
    if key.public_key.bits not in PAILLIER_BITS:
        raise StoreError(f"a Paillier key of {key.public_key.bits} bits: not one of 2048 or 3072")
    if key.p % 4 != 3 or key.q % 4 != 3:
        # Damgård, Jurik and Nielsen (2010) prove the hubs' short randomness safe for these only.
        raise StoreError("the primes of the Paillier key are not 3 modulo 4")


def _keep(
    keys: Path,
    paillier: PaillierPrivateKey,
    trustee_share: Path | None,
    randomness: Callable[[int], bytes],
) -> None:
    """Write the key, or one share here and the other to the trustee's file: never the whole."""
    if trustee_share is None:
        write_secret(keys / "paillier.key", paillier.encode())
        return
    ours, theirs = split_key(paillier, randomness)
    write_secret(keys / "paillier.share", ours.encode())
    write_secret(trustee_share, theirs.encode())


def read_paillier(keys: Path) -> PaillierPrivateKey | KeyShare:
    """Return the Paillier key in a folder, or the share of it; raise `StoreError`."""
    whole, share = keys / "paillier.key", keys / "paillier.share"
    try:
        if share.exists():
            return KeyShare.decode(read_secret(share))
        return PaillierPrivateKey.decode(read_secret(whole))
    except KeyRefused as error:
        raise StoreError(f"{share if share.exists() else whole}: {error}") from None
