# SPDX-License-Identifier: Apache-2.0
"""What an operator has looked for, as it stands in an address: sealed, and for his session alone.

A list that was found has an address, so that a browser can go back to it and load it again. A name
in it would stand in the browser's history, and in the log of whatever is in between.
"""

import base64
import hmac
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from utility_server.service.console.visit import Visit

_LABEL: Final = b"meterlet console search 1"
_NONCE_SIZE: Final = 12
_BLOCK: Final = 16


def seal_text(visit: Visit, text: str) -> str:
    """Return a text as an address may have it; its length says little of the text's."""
    plain = text.encode()
    plain += b"\0" * (-len(plain) % _BLOCK)
    nonce = visit.parts.settings.randomness(_NONCE_SIZE)
    sealed = nonce + _cipher(visit).encrypt(nonce, plain, _bound(visit))
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def open_text(visit: Visit, sealed: str) -> str:
    """Return the text; empty for what this session has not sealed."""
    try:
        data = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
        nonce, rest = data[:_NONCE_SIZE], data[_NONCE_SIZE:]
        return _cipher(visit).decrypt(nonce, rest, _bound(visit)).rstrip(b"\0").decode()
    except (InvalidTag, ValueError):
        return ""


def _cipher(visit: Visit) -> AESGCM:
    return AESGCM(hmac.new(visit.parts.utility.keys.storage, _LABEL, sha256).digest())


def _bound(visit: Visit) -> bytes:
    assert visit.session is not None  # whoever is not in looks for nothing
    return visit.session.form_token.encode()
