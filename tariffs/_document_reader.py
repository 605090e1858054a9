# SPDX-License-Identifier: Apache-2.0
"""Documents of tariffs, decoded: what is wrong with one is a `MalformedTariff`."""

from typing import ClassVar

from protocols.canonical import cbor
from protocols.canonical.cbor import CborError, CborValue
from protocols.canonical.reader import MapReader
from tariffs.errors import MalformedTariff


class TariffReader(MapReader):
    """A map of a document."""

    error: ClassVar[type[Exception]] = MalformedTariff


def decode_document(data: bytes) -> CborValue:
    """Return the value that `data` encodes; raise `MalformedTariff` for any other bytes."""
    try:
        return cbor.decode(data)
    except CborError as error:
        raise MalformedTariff(f"document: {error}") from None
