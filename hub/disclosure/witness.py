# SPDX-License-Identifier: Apache-2.0
"""The log's head once more, beside the keys: so that an older hub.db in its place is found.

    keys/log.head     length (8), digest (32), the first 8 bytes of their SHA-256

It is written after each transaction that has added to the log, in place and without waiting for the
disk: after a power cut it may be some entries behind, and never ahead of the database. A hub opens
where its log is as long as this says or longer, and had this digest at that length. Whoever puts
back the whole folder puts this back, too: that, recipients find (`protocols.log_head`).

Errors: LogTampered
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from hub.disclosure.log import LOG_COMPONENT, SEALED_SINCE, DisclosureLog, LogTampered
from hub.vault.secret_file import SecretFileError, write_secret
from protocols.log_head import EMPTY, LogHead, LogHeadError

FILE: Final = "log.head"
_CHECK_SIZE: Final = 8
"""Against a disk's mistakes, not against people: who can write here holds the keys."""


@dataclass(slots=True)
class HeadWitness:
    """The file beside the keys, for one opened hub."""

    path: Path
    log: DisclosureLog
    _last: LogHead = field(default=EMPTY, init=False)

    def check(self, check_log: Callable[[], LogHead]) -> None:
        """Return if the log, once checked, goes on from what the file says.

        A hub that has no such file yet, as of release 0.1, gets it here. Raises `LogTampered`.
        """
        # First the file, then the log: another process may add to both just now, the log first.
        kept = self._read() if self.path.exists() else None
        head = check_log()
        if kept is None:
            with suppress(SecretFileError):  # another process was quicker
                write_secret(self.path, _encode(head))
            self._last = head
            return
        if kept.length > head.length:
            raise LogTampered(
                f"{self.log.database.path}: an older file is in its place: its log has"
                f" {head.length} entries, {self.path} knows of {kept.length}. Bring back the newer"
                f" file; if it is lost for good, remove {self.path}: recipients will notice"
            )
        if self.log.head_at(kept.length) != kept:
            raise LogTampered(
                f"{self.log.database.path}: its log is another than the one {self.path} knows;"
                " bring back the hub's own file"
            )
        self._last = kept
        self.follow()

    def follow(self) -> None:
        """Write the head if the log has grown; called after each commit."""
        length = self.log.length()
        if length == self._last.length:
            return
        head = self.log.head_at(length)
        # It is on record already; what cannot be noted now is noted after the next commit.
        with suppress(OSError):
            descriptor = os.open(self.path, os.O_WRONLY)
            try:
                os.pwrite(descriptor, _encode(head), 0)
            finally:
                os.close(descriptor)
            self._last = head

    def _read(self) -> LogHead:
        try:
            data = self.path.read_bytes()
            head = LogHead.decode(data[:-_CHECK_SIZE])
        except (OSError, LogHeadError):
            head, data = EMPTY, b""
        if data != _encode(head):
            raise LogTampered(
                f"{self.path}: not what this hub has written; if it is lost for good, remove it:"
                " an older hub.db is then found by recipients alone"
            )
        return head


def _encode(head: LogHead) -> bytes:
    return head.encode() + sha256(head.encode()).digest()[:_CHECK_SIZE]


def require_sealed(database: Path, witness: Path) -> None:
    """Return if a log that was sealed once is sealed; raise `LogTampered` where it lies in clear.

    Release 0.1 chained entries without a key, and whoever has such a file can write it anew.
    """
    if not witness.exists() or not database.exists():
        return
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(database)) as connection:
        row = connection.execute(
            "SELECT version FROM schema_version WHERE component = ?", (LOG_COMPONENT.name,)
        ).fetchone()
        if row is None or row[0] < SEALED_SINCE:
            raise LogTampered(
                f"{database}: a log of an older release is in the place of a sealed one;"
                " `meterlet hub restore` brings back a snapshot and keeps the log"
            )
