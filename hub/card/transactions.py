# SPDX-License-Identifier: Apache-2.0
"""begin, commit and abort for applets, inside the one transaction of their APDU.

As on a Java Card (Runtime Environment 3.1, 7): one level deep; what is not committed when the APDU
ends is taken back, and so is everything if the APDU itself fails.
"""

from dataclasses import dataclass, field
from typing import Final

from hub.card.applet_runtime import AppletRefused
from hub.card.status import Sw
from hub.vault.database import Database

_NAME: Final = "applet"


@dataclass(slots=True)
class AppletTransaction:
    """A transaction that an applet opens and closes while it works on one APDU."""

    database: Database
    _open: bool = field(default=False, init=False)

    @property
    def is_open(self) -> bool:
        """Whether the applet has begun and not ended yet."""
        return self._open

    def begin(self) -> None:
        """Begin; raise `AppletRefused` if one is open already."""
        if self._open:
            raise AppletRefused(Sw.CONDITIONS_NOT_SATISFIED, "a transaction is open already")
        self.database.connection.execute(f"SAVEPOINT {_NAME}")
        self._open = True

    def commit(self) -> None:
        """Keep what was written since `begin`, if the APDU succeeds."""
        self._require()
        self.database.connection.execute(f"RELEASE {_NAME}")
        self._open = False

    def abort(self) -> None:
        """Take back what was written since `begin`."""
        self._require()
        self._open = False
        if self.database.connection.in_transaction:  # on a full disk SQLite has undone it all
            self.database.connection.execute(f"ROLLBACK TO {_NAME}")
            self.database.connection.execute(f"RELEASE {_NAME}")

    def end(self) -> None:
        """Take back what was begun and not committed: the applet has returned."""
        if self._open:
            self.abort()

    def _require(self) -> None:
        if not self._open:
            raise AppletRefused(Sw.CONDITIONS_NOT_SATISFIED, "no transaction is open")
