# SPDX-License-Identifier: Apache-2.0
"""Who is signed in: sessions in memory, which end when idle, when old, and with the server.

The cookie carries 32 random bytes; the server keeps their SHA-256 alone, so that reading its
memory by a bug hands out no session. A form carries a token of its own, bound to the session.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Final

from hub.inspection.web.access.residents import Resident

IDLE_SECONDS: Final = 15 * 60
LIFE_SECONDS: Final = 12 * 3600
MOST_SESSIONS: Final = 64
"""The longest idle gives way."""
TOKEN_SIZE: Final = 32
_FORM: Final = b"meterlet form 1"


@dataclass(slots=True)
class ResidentSession:
    """One browser that has signed in."""

    resident: Resident
    began: int
    last_seen: int
    form_token: str = field(repr=False)
    """What each form of this session carries."""
    offer: object = field(default=None, repr=False)
    """A package that was shown and not yet installed."""

    def accepts(self, token: str) -> bool:
        """Tell whether a form came from this session's own pages."""
        return hmac.compare_digest(token.encode(), self.form_token.encode())


@dataclass(slots=True)
class Sessions:
    """The open sessions; safe to use from several threads."""

    now: Callable[[], int]
    randomness: Callable[[int], bytes] = field(repr=False)
    idle_seconds: int = IDLE_SECONDS
    life_seconds: int = LIFE_SECONDS
    door_key: bytes = field(init=False, repr=False)
    """Answers for the forms of who is not signed in yet; new with each start."""
    _open: dict[bytes, ResidentSession] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        self.door_key = self.randomness(TOKEN_SIZE)

    def begin(self, resident: Resident) -> tuple[str, ResidentSession]:
        """Return a new session and the token of its cookie."""
        token = self.randomness(TOKEN_SIZE).hex()
        now = self.now()
        form_token = hmac.new(token.encode(), _FORM, sha256).hexdigest()
        session = ResidentSession(resident, now, now, form_token)
        with self._lock:
            self._drop_old()
            while len(self._open) >= MOST_SESSIONS:
                del self._open[min(self._open, key=lambda key: self._open[key].last_seen)]
            self._open[_key(token)] = session
        return token, session

    def find(self, token: str | None, *, is_idle: bool = False) -> ResidentSession | None:
        """Return the session of a cookie; None if it has ended.

        It counts as seen now, unless the page asks by itself while its resident is idle.
        """
        if not token:
            return None
        with self._lock:
            self._drop_old()
            session = self._open.get(_key(token))
            if session is not None and not is_idle:
                session.last_seen = self.now()
        return session

    def end(self, token: str | None) -> None:
        """End a session, if it is one."""
        with self._lock:
            self._open.pop(_key(token or ""), None)

    def _drop_old(self) -> None:
        now = self.now()
        for key, session in list(self._open.items()):
            idle = now - session.last_seen >= self.idle_seconds
            if idle or now - session.began >= self.life_seconds:
                del self._open[key]


def _key(token: str) -> bytes:
    return sha256(token.encode()).digest()
