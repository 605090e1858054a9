# SPDX-License-Identifier: Apache-2.0
"""Where the next page begins: opaque to clients, and authenticated.

A cursor is bound to its collection and filters. One that was altered, made up or is of another
collection is refused, so that no client can look where a page would not have led him.
"""

import base64
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from protocols.canonical.stored import decode_row, encode_row
from utility_server.service.api.problems import Problem

TAG_SIZE: Final = 16
LONGEST: Final = 512


@dataclass(frozen=True, slots=True)
class Cursors:
    """Makes and reads cursors."""

    key: bytes = field(repr=False)

    def make(self, collection: Sequence[Any], position: Sequence[Any]) -> str:
        """Return the cursor of a position; `collection` is its name and filters."""
        body = encode_row(list(position))
        return base64.urlsafe_b64encode(self._tag(collection, body) + body).rstrip(b"=").decode()

    def read(self, collection: Sequence[Any], text: str) -> list[Any]:
        """Return the position; raise a `Problem` for any other text than `make` gave."""
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
            data = b""
        tag, body = data[:TAG_SIZE], data[TAG_SIZE:]
        # As `make` wrote it, to the letter: base64 can say the same bytes in several ways.
        is_written = base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text
        if not (is_written and hmac.compare_digest(tag, self._tag(collection, body))):
            raise Problem(400, "invalid-cursor", "the cursor is not one of this collection")
        return list(decode_row(body))  # our own bytes, as the tag says

    def _tag(self, collection: Sequence[Any], body: bytes) -> bytes:
        bound = encode_row([list(collection), body])
        return hmac.new(self.key, bound, sha256).digest()[:TAG_SIZE]
