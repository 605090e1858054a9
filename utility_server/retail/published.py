# SPDX-License-Identifier: Apache-2.0
"""What the utility asks its customers' hubs with, on a list that everybody may have.

    published.list    in the utility's folder: the signed list (protocols.published)

Whatever a question carries is put on the list before it is asked, unless the utility is told not
to. A hub that was handed the list knows that others can see the same document.

Of an index the list has the part that a period needs, as questions carry that: all customers of one
time zone are asked under the same part.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from applets.profiling.messages import ProfilingRequest
from protocols.published import (
    MOST_NAME,
    DocumentKind,
    ListMalformed,
    PublishedDocument,
    PublishedList,
)
from tariffs import PriceIndex, Tariff
from tariffs.usage import utc_text
from utility_server.database import writing
from utility_server.durable import replace_file
from utility_server.errors import StoreError
from utility_server.retail.customers import Customers

LIST_FILE: Final = "published.list"

AskedUnder: TypeAlias = Tariff | PriceIndex | ProfilingRequest
"""What a question carries."""


@dataclass(frozen=True, slots=True)
class Publications:
    """The utility's list."""

    folder: Path
    engine: Engine
    signing: Ed25519PrivateKey = field(repr=False)
    customers: Customers
    now: Callable[[], int] = field(repr=False)

    @property
    def path(self) -> Path:
        """Where the signed list is."""
        return self.folder / LIST_FILE

    def list(self) -> PublishedList:
        """Return all that was published; raise `StoreError` if the file is not what was written."""
        try:
            document = self.path.read_bytes()
        except FileNotFoundError:
            return PublishedList()
        try:
            return PublishedList.verify(document, self.signing.public_key())
        except ListMalformed as error:
            raise StoreError(
                f"{self.path}: {error}; restore it, or hubs refuse a shorter"
            ) from None

    def document(self) -> bytes:
        """Return the list, signed."""
        return self.list().sign(self.signing)

    def publish(self, document: AskedUnder, meters: int | None = None) -> int:
        """Put a document on the list, and return its number; once is enough.

        `meters` is how many meters the utility vouches that may be asked under it, all that are
        enrolled unless given. Where it is given and more than the list says, a new entry says so.
        """
        known = self.list().find(document.digest)
        if known is not None and (meters is None or meters <= known[1].meters):
            return known[0]  # most questions: nothing to write, nobody to wait for
        vouched = len(self.customers.meters()) if meters is None else meters
        kind, name = _described(document)
        with writing(self.engine):  # one process at a time adds to the list
            before = self.list()
            known = before.find(document.digest)
            if known is not None and vouched <= known[1].meters:
                return known[0]  # another process was faster
            time = max([self.now(), *(entry.time for entry in before.entries[-1:])])
            after = before.with_document(
                PublishedDocument(time, kind, name[:MOST_NAME], vouched, document.digest)
            )
            replace_file(self.path, after.sign(self.signing))
        return len(after.entries) if known is None else known[0]


def _described(document: AskedUnder) -> tuple[DocumentKind, str]:
    """Return what a document is, and how people call it."""
    match document:
        case Tariff():
            return DocumentKind.TARIFF, f"{document.name}, revision {document.revision}"
        case PriceIndex():
            since, until = utc_text(document.prices.begin), utc_text(document.end)
            revision = f"{document.series}, revision {document.version}"
            return DocumentKind.INDEX, f"{revision}, {since} to {until}"
        case ProfilingRequest():
            one_in = f" of one in {document.step}" if document.step > 1 else ""
            name = f"{document.profiles.name}, version {document.profiles.version}"
            return DocumentKind.PROFILES, f"{name}, by {document.method.value}{one_in}"
