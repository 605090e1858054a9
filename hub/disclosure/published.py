# SPDX-License-Identifier: Apache-2.0
"""Documents that their signer shows to everybody, as far as this hub was handed the lists.

    published    signer, applets, entries, code; the signed list beside it    a list was taken

A list lies in the disclosure log, so no list that was taken can be put back or forgotten. It is
taken if it begins with all that the signer's list before it said: else somebody is shown another
list than before. It counts for the applets that were installed with the signer's key, or for all
where the resident named the key.

That a document is on the list does not say that it is harmless: docs/guard.md, "Who chooses the
weights".
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.disclosure.log import DisclosureLog
from hub.disclosure.requests import Publication
from hub.disclosure.rules import ReleaseRefused
from hub.errors import HubError
from protocols.canonical.cose import CoseRefused, SignedParts
from protocols.canonical.signing import key_id_of
from protocols.published import LIST_CONTENT_TYPE, MOST_LIST_BYTES, ListMalformed, PublishedList

_KIND = "published"
_LISTS_KEPT = 8


class ListRefused(HubError):
    """A published list is of another signer, or not what it was before."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class TakenList:
    """The newest list of a signer that this hub has taken."""

    sequence: int
    """Its entry in the log."""
    time: int
    """When it was taken."""
    signer: bytes
    """The Ed25519 public key, 32 bytes."""
    applets: frozenset[bytes]
    """Those that it counts for; none where it counts for all, as the resident named the key."""
    documents: PublishedList

    def counts_for(self, applet: bytes) -> bool:
        """Tell whether what is on it is public for an applet's questions."""
        return not self.applets or applet in self.applets


def taken_lists(log: DisclosureLog) -> list[TakenList]:
    """Return the newest list of each signer, in the order in which they were taken."""
    newest = {entry.facts["signer"]: entry for entry in log.entries(_KIND)}
    return [
        TakenList(
            sequence=entry.sequence,
            time=entry.time,
            signer=entry.facts["signer"],
            applets=frozenset(entry.facts["applets"]),
            documents=_opened(log.content(entry), entry.facts["signer"]),
        )
        for entry in newest.values()
    ]


def take_list(
    log: DisclosureLog,
    time: int,
    document: bytes,
    signers: Mapping[bytes, Collection[bytes]],
) -> TakenList:
    """Take a signed list, and return it; one that was taken already changes nothing.

    `signers` are the public keys that may have signed it, each with the applets that the list then
    counts for, none for all. Raises `ListRefused`.
    """
    signer, documents = _verified(document, signers)
    applets = frozenset(signers[signer])
    with log.database.transaction():
        before = next((one for one in taken_lists(log) if one.signer == signer), None)
        if before is not None:
            _require_extension(documents, before.documents)
            if (documents, applets) == (before.documents, before.applets):
                return before
        facts = {
            "signer": signer,
            "applets": sorted(applets),
            "entries": len(documents.entries),
            "code": documents.code,
        }
        entry = log.append(time, _KIND, facts, document)
    return TakenList(entry.sequence, time, signer, applets, documents)


def publication_of(log: DisclosureLog, applet: bytes, digest: bytes) -> Publication | None:
    """Return since when a document is known to be public, None if it is on no list taken here."""
    for one in taken_lists(log):
        known = one.documents.find(digest) if one.counts_for(applet) else None
        if known is not None:
            number, document = known
            return Publication(number, document.time, document.meters)
    return None


def publication_facts(log: DisclosureLog, applet: bytes, digest: bytes) -> dict[str, int]:
    """Return what the log says of a release's document: nothing, if it is on no list."""
    public = publication_of(log, applet, digest)
    if public is None:
        return {}
    return {
        "published": public.number,
        "published_time": public.time,
        "published_meters": public.meters,
    }


def publication_in(facts: Mapping[str, int]) -> Publication | None:
    """Return what a log's entry says of its document, None for nothing."""
    if "published" not in facts:
        return None
    return Publication(facts["published"], facts["published_time"], facts["published_meters"])


def check_published(
    log: DisclosureLog, applet: bytes, digest: bytes, demands: Collection[int]
) -> None:
    """Refuse to answer under a document that is not as public as the consents demand.

    `demands` are each consent's number of meters; 0 demands nothing. Raises `ReleaseRefused`.
    """
    meters = max(demands, default=0)
    if not meters:
        return
    public = publication_of(log, applet, digest)
    if public is None:
        raise ReleaseRefused(
            "published",
            f"what the numbers would be worked out with ({digest.hex()[:16]}) is on no list that"
            " this hub was handed; the consent says that everybody has to be shown it",
        )
    if public.meters < meters:
        raise ReleaseRefused(
            "published",
            "what the numbers would be worked out with is published, by its signer's word, for"
            f" {public.meters} of the {meters} meters that the consent says",
        )


def _verified(document: bytes, signers: Collection[bytes]) -> tuple[bytes, PublishedList]:
    try:
        if len(document) > MOST_LIST_BYTES:
            raise ListRefused(f"a published list has at most {MOST_LIST_BYTES:,} bytes")
        key_id = SignedParts.decode(document, LIST_CONTENT_TYPE).key_id
        for signer in signers:
            key = Ed25519PublicKey.from_public_bytes(signer)
            if key_id_of(key) == key_id:  # a name that anybody may write: what counts comes next
                return signer, PublishedList.verify(document, key)
    except (CoseRefused, ListMalformed) as error:
        raise ListRefused(f"not a published list: {error}") from None
    raise ListRefused(
        "the list is signed by nobody whose applet is installed here; if you know its signer, say"
        " --key with the signer's public key"
    )


def _require_extension(documents: PublishedList, before: PublishedList) -> None:
    common = documents.agreement(before)
    if common == len(before.entries):
        return
    if common == len(documents.entries):
        raise ListRefused(
            f"the list has {common} entries and is the beginning of the {len(before.entries)} that"
            " were taken before; get a newer one"
        )
    raise ListRefused(
        f"entry {common + 1} is not what this signer's list said before: somebody is shown another"
        " list. Keep the file, and ask others for their list's code"
    )


@lru_cache(maxsize=_LISTS_KEPT)
def _opened(document: bytes, signer: bytes) -> PublishedList:
    """Return a list that was verified when it was taken."""
    return PublishedList.verify(document, Ed25519PublicKey.from_public_bytes(signer))
