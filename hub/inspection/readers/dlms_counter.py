# SPDX-License-Identifier: Apache-2.0
"""Numbers of what a hub sends under a key of DLMS: none of them comes twice.

    keys/dlms-key-<32 digits>.counter      the number that comes next, in decimal

A nonce is the hub's system title and such a number, so there is one file for each encryption key
under each title, whichever readers have the key, and whatever their authentication key is. The
digits are a MAC under that key: they tell nothing of it. The file is never removed, also where its
reader is revoked: keys may come back. Processes that send at the same time take numbers by turns.

Release 0.1 kept a file for each reader, `dlms-<number>.counter`, which did not say for which key. A
key without a file begins above all of those.
"""

import fcntl
import hmac
import os
import re
from pathlib import Path
from typing import Final

from dlms_codec.secure_messaging import SendCounter
from hub.durable import replace_file
from hub.vault.secret_file import SecretFileError

STEP: Final = 100
"""So many numbers are taken at once."""
_PURPOSE: Final = b"meterlet dlms counter 1 "
_OF_READER: Final = re.compile(r"dlms-[1-9][0-9]*\.counter", re.ASCII)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)


class StoredCounter(SendCounter):
    """The counter of a key, kept in a folder; raises `SecretFileError` where it cannot be read."""

    def __init__(self, folder: Path, key: bytes, title: bytes) -> None:
        """`folder` is the hub's for keys, `title` the one that the hub sends under."""
        super().__init__()
        digest = hmac.digest(key, _PURPOSE + title, "sha256").hex()[:32]
        self._path = folder / f"dlms-key-{digest}.counter"
        self._until = 0
        self._following()  # now, not at the first message

    def take(self) -> int:
        """Return the next number; raise `CounterExhausted` when there is none."""
        if self.following >= self._until:
            self._take_more()
        return super().take()

    def _take_more(self) -> None:
        """Put on the disk that some numbers are taken, before any of them is used."""
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            following = self._following()
            replace_file(self._path, b"%d\n" % (following + STEP))
        finally:
            os.close(descriptor)
        self.following, self._until = following, following + STEP

    def _following(self) -> int:
        """Return the lowest number that nobody has taken."""
        if self._path.exists():
            return _number_in(self._path, self._path.read_text())
        older = [one for one in self._path.parent.iterdir() if _OF_READER.fullmatch(one.name)]
        return max((_number_in(one, one.read_text().partition(" ")[2]) for one in older), default=1)


def _number_in(path: Path, text: str) -> int:
    if not _NUMBER.fullmatch(number := text.strip()):
        raise SecretFileError(
            f"{path}: not a counter; put it back from a copy, or remove it and take new keys"
        )
    return int(number)
