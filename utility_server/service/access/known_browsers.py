# SPDX-License-Identifier: Apache-2.0
"""Browsers in which an operator has signed in before: strangers' guesses do not make them wait.

    value = nonce (16 bytes) . time . HMAC(key, name, epoch, nonce, time)

Guesses at a name have to cost time, and whoever makes them for days would keep its owner out. So a
browser in which the name's own password was right once is counted by itself (as OWASP's device
cookies). The value opens nothing: without the password it only says who is counted where. It ends
with the password, and after half a year. Nothing is kept of it.
"""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

LIFE_SECONDS: Final = 180 * 86_400
_NONCE_SIZE: Final = 16
_FORM: Final = re.compile(r"([0-9a-f]{32})\.([1-9][0-9]{0,11})\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class KnownBrowsers:
    """Makes what such a browser keeps, and tells whether it is one."""

    key: bytes = field(repr=False)
    now: Callable[[], int] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    def make(self, name: str, epoch: str) -> str:
        """Return the value for a browser in which `name` has just signed in."""
        nonce, time = self.randomness(_NONCE_SIZE).hex(), str(self.now())
        return f"{nonce}.{time}.{self._mac(name, epoch, nonce, time)}"

    def nonce_of(self, value: str, name: str, epoch: str) -> str:
        """Return by what a browser is counted; empty where it is none of `name`."""
        found = _FORM.fullmatch(value)
        if found is None:
            return ""
        nonce, time, mac = found.groups()
        # In constant time: it must not be found digit by digit.
        is_right = hmac.compare_digest(mac, self._mac(name, epoch, nonce, time))
        return nonce if is_right and 0 <= self.now() - int(time) < LIFE_SECONDS else ""

    def _mac(self, *parts: str) -> str:
        mac = hmac.new(self.key, digestmod=sha256)
        for part in parts:
            mac.update(len(part.encode()).to_bytes(4, "big") + part.encode())
        return mac.hexdigest()
