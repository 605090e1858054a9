# SPDX-License-Identifier: Apache-2.0
"""The list of documents that a recipient of numbers shows to everybody: tariffs, indexes, profiles.

    document = COSE_Sign1 of deterministic CBOR {"format": 1, "entries": [[...], ...]}
    entry    = [time, kind, name, meters, digest]
    head(0)  = 32 zero bytes
    head(n)  = seal("meterlet published 1", head(n−1), [n, entry(n)])    (canonical.hash_chain)
    code     = the first 120 bits of the head, base32 in fours

A list only grows. Who keeps one and is handed a later one can tell whether that begins with the
first. Who compares the code with somebody else's, by voice or on paper, knows that both were shown
the same list. The signer could look for two lists with one code: that takes 2^60 hashes, which is
why the code has 24 letters and not 8.

`digest` names the document as questions carry it: what an applet answers under. Of an index, it is
the part of one period. `meters` is what the signer vouches for: how many meters may be asked under
the document.

Errors: ListMalformed
"""

from base64 import b32encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.canonical.cbor import CborError, decode, encode
from protocols.canonical.cose import CoseRefused
from protocols.canonical.hash_chain import GENESIS, seal
from protocols.canonical.signing import key_id_of, sign_document, verify_document
from protocols.errors import MeterletError

LIST_CONTENT_TYPE: Final = "application/meterlet-published+cbor"
FORMAT: Final = 1
MOST_ENTRIES: Final = 8192
MOST_LIST_BYTES: Final = 1 << 20
MOST_NAME: Final = 120
DIGEST_SIZE: Final = 32
CODE_BYTES: Final = 15
_LABEL: Final = b"meterlet published 1"
_LATEST: Final = 1 << 40
_MOST_METERS: Final = 1 << 32


class ListMalformed(MeterletError):
    """Bytes are no published list, or not one that its signer signed."""

    exit_code = 3


class DocumentKind(StrEnum):
    """What a published document is."""

    TARIFF = "tariff"
    INDEX = "index"
    """The part of a price index that one period needs."""
    PROFILES = "profiles"
    """A set of profiles with the method."""


@dataclass(frozen=True, slots=True)
class PublishedDocument:
    """One line of the list."""

    time: int
    """When it was published, in epoch seconds."""
    kind: DocumentKind
    name: str
    """As people call it: `Night tariff, revision 2`."""
    meters: int
    """How many meters may be asked under it, by the signer's word."""
    digest: bytes
    """Of the document as questions carry it, 32 bytes."""

    def __post_init__(self) -> None:
        if not 0 <= self.time < _LATEST or not 0 <= self.meters < _MOST_METERS:
            raise ListMalformed("a time or a number of meters is out of bounds")
        if not 1 <= len(self.name) <= MOST_NAME or not self.name.isprintable():
            raise ListMalformed(f"a name has 1 to {MOST_NAME} printable characters")
        if len(self.digest) != DIGEST_SIZE:
            raise ListMalformed(f"a digest has {DIGEST_SIZE} bytes")

    def canonical(self) -> list[int | str | bytes]:
        """Return what the list's encoding holds of it."""
        return [self.time, self.kind.value, self.name, self.meters, self.digest]


@dataclass(frozen=True, slots=True)
class PublishedList:
    """All that a signer has published, oldest first."""

    entries: tuple[PublishedDocument, ...] = ()

    def __post_init__(self) -> None:
        if len(self.entries) > MOST_ENTRIES:
            raise ListMalformed(f"more than {MOST_ENTRIES} documents")
        times = [entry.time for entry in self.entries]
        if times != sorted(times):
            raise ListMalformed("the entries are not in order of time")

    def with_document(self, document: PublishedDocument) -> "PublishedList":
        """Return the list with one more; raise `ListMalformed` if it is older than the last."""
        return PublishedList((*self.entries, document))

    def find(self, digest: bytes) -> tuple[int, PublishedDocument] | None:
        """Return number and entry of a document, None if it is not on the list.

        The first entry that names it says since when it is public, the last how many meters.
        """
        named = [(n, one) for n, one in enumerate(self.entries, 1) if one.digest == digest]
        if not named:
            return None
        number, first = named[0]
        meters = named[-1][1].meters
        return number, PublishedDocument(first.time, first.kind, first.name, meters, digest)

    def agreement(self, other: "PublishedList") -> int:
        """Return how many entries both lists have in common from the beginning."""
        pairs = zip(self.entries, other.entries, strict=False)
        return next(
            (place for place, (one, two) in enumerate(pairs) if one != two),
            min(len(self.entries), len(other.entries)),
        )

    def extends(self, older: "PublishedList") -> bool:
        """Tell whether the older list is this one's beginning."""
        return self.agreement(older) == len(older.entries)

    def heads(self) -> Iterator[bytes]:
        """Yield the chain's head after each entry."""
        head = GENESIS
        for number, entry in enumerate(self.entries, 1):
            head = seal(_LABEL, head, encode([number, entry.canonical()]))
            yield head

    @property
    def head(self) -> bytes:
        """The chain's last head."""
        return [GENESIS, *self.heads()][-1]

    def codes(self) -> Sequence[str]:
        """Return the code that the list had after each entry."""
        return list(map(code_of, self.heads()))

    @property
    def code(self) -> str:
        """What people compare: the same for everybody who was shown this list."""
        return code_of(self.head)

    def encode(self) -> bytes:
        """Return what is signed."""
        entries = [entry.canonical() for entry in self.entries]
        return encode({"format": FORMAT, "entries": entries})

    def sign(self, key: Ed25519PrivateKey) -> bytes:
        """Return the signed document; raise `ListMalformed` for more than a hub takes."""
        name = key_id_of(key.public_key())
        document = sign_document(self.encode(), LIST_CONTENT_TYPE, key, name)
        if len(document) > MOST_LIST_BYTES:
            raise ListMalformed(f"a published list has at most {MOST_LIST_BYTES} bytes")
        return document

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the list in its one encoding; raise `ListMalformed` for any other bytes."""
        try:
            match decode(payload):
                case {"format": 1, "entries": list(entries), **others} if not others:
                    return cls(tuple(map(_entry, entries)))
                case _:
                    raise ListMalformed(f"not a published list of format {FORMAT}")
        except CborError as error:
            raise ListMalformed(str(error)) from None

    @classmethod
    def verify(cls, document: bytes, signer: Ed25519PublicKey) -> Self:
        """Return the list that `signer` signed; raise `ListMalformed` for any other document."""
        if len(document) > MOST_LIST_BYTES:
            raise ListMalformed(f"a published list has at most {MOST_LIST_BYTES} bytes")
        try:
            payload = verify_document(document, LIST_CONTENT_TYPE, signer, key_id_of(signer))
        except CoseRefused as error:
            raise ListMalformed(str(error)) from None
        return cls.decode(payload)


def code_of(head: bytes) -> str:
    """Return a head as people compare it: 24 letters and digits, in fours."""
    letters = b32encode(head[:CODE_BYTES]).decode()
    return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))


def _entry(fields: object) -> PublishedDocument:
    match fields:
        case [int(time), str(kind), str(name), int(meters), bytes(digest)]:
            if kind not in set(DocumentKind):
                raise ListMalformed(f"{kind!r} is no kind of document")
            return PublishedDocument(time, DocumentKind(kind), name, meters, digest)
    raise ListMalformed("an entry is not time, kind, name, meters and digest")
