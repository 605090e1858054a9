# SPDX-License-Identifier: Apache-2.0
"""Where a party's database is: a file in its folder, or the URL that `database.url` there says.

The URL may hold a password, so the file is its owner's alone. It is chosen when the folder is made.
A password has one place in a URL, the one that messages leave out. Where it may have slid into
another part, because a character of it was not escaped, the URL is refused and not shown.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from utility_server.errors import StoreError

URL_FILE: Final = "database.url"
_MOST_BYTES: Final = 4096


_KIND: Final = "postgresql://USER@HOST:PORT/NAME"
_DRIVERS: Final = frozenset({"postgresql", "postgresql+psycopg"})
_HOST: Final = re.compile(r"[A-Za-z0-9._:%,\[\]-]{1,255}")
_NAME: Final = re.compile(r"[^@:/?#\\\s\x00-\x1f\x7f]{1,63}")
_SHOWN: Final = re.compile(r"[^\x00-\x1f\x7f]{0,1024}")
_SEARCH_PATH: Final = re.compile(r"-c ?search_path=[A-Za-z0-9_,]{1,200}")
_OPEN: Final = frozenset(
    {"host", "port", "sslmode", "sslrootcert", "target_session_attrs", "application_name"}
)
"""Parameters of the connection that say no secret, whoever reads them."""
_CLOSED: Final = frozenset(
    {"options", "sslcert", "sslkey", "sslcrl", "passfile", "channel_binding", "gssencmode",
     "krbsrvname", "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval",
     "keepalives_count", "tcp_user_timeout", "load_balance_hosts", "sslnegotiation"}
)  # fmt: skip
"""Further ones of libpq that have a use. A password is none of them: it stands before the host."""


def database_url(text: str) -> URL:
    """Return the URL of a PostgreSQL database; raise `StoreError`, showing nothing of any other."""
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise StoreError(f"the database's URL is none: {_KIND}") from None
    if url.drivername not in _DRIVERS or not url.database:
        raise StoreError(f"the database's URL is not of this kind: {_KIND}")
    parts = (url.username or "", url.password or "", *_values(url.query))
    if (
        not _HOST.fullmatch(url.host or "localhost")
        or not _NAME.fullmatch(url.database)
        # A NUL would end the text that the driver makes of it, and what follows be another's.
        or not all(_SHOWN.fullmatch(one) for one in parts)
    ):
        raise StoreError(
            f"the database's URL is not of this kind: {_KIND}; in a password, '@', ':', '/', '?',"
            " '#' and '%' are written as %40, %3A, %2F, %3F, %23 and %25"
        )
    if url.query.keys() - _OPEN - _CLOSED:
        raise StoreError(
            "the database's URL has a parameter that is not known here; a password stands before"
            " the host: postgresql://USER:PASSWORD@HOST/NAME"
        )
    return url


def _values(query: Mapping[str, str | tuple[str, ...]]) -> list[str]:
    return [
        one
        for values in query.values()
        for one in (values if isinstance(values, tuple) else (values,))
    ]


def may_be_seen(url: URL) -> bool:
    """Tell whether others may read a URL: user, host, port, name and search_path, and no secret."""
    further = {name: one for name, one in url.query.items() if name not in _OPEN}
    options = further.pop("options", "-csearch_path=x")
    is_path = isinstance(options, str) and _SEARCH_PATH.fullmatch(options) is not None
    return url.password is None and is_path and not further


def keep_location(folder: Path, url: URL) -> None:
    """Write down that a new folder's database is at this URL."""
    descriptor = os.open(folder / URL_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(url.render_as_string(hide_password=False) + "\n")


def location_in(folder: Path, file: str) -> Path | URL | None:
    """Return where the database of a folder is; None where there is no such folder."""
    kept = folder / URL_FILE
    try:
        if kept.exists():
            with kept.open(encoding="utf-8") as opened:
                return database_url(opened.read(_MOST_BYTES))
    except (OSError, UnicodeError) as error:
        raise StoreError(f"{kept}: not readable: {error}") from None
    path = folder / file
    return path if path.exists() else None
