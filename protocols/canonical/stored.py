# SPDX-License-Identifier: Apache-2.0
"""CBOR of what a program keeps for itself, by the library cbor2: rows of its own databases.

Rows are many, and chained or sealed to the byte by whoever wrote them: speed counts, and nobody can
choose between encodings. Strangers' bytes do not come here, `protocols.canonical.cbor` alone reads
those. None, truth values and large integers are allowed. Maps have keys of one type; then cbor2's
order is that of RFC 8949, 4.2.1, and a row that `cbor` can encode is encoded to the same bytes.
"""

from typing import Any

import cbor2

from protocols.canonical.cbor import CborError


def encode_row(value: object) -> bytes:
    """Return the encoding of a row."""
    return cbor2.dumps(value, canonical=True)


def decode_row(data: bytes) -> Any:
    """Return the row that `data` encodes; raise `CborError` for bytes that are none."""
    try:
        return cbor2.loads(data)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CborError(f"not a row of ours: {error}") from None
