# SPDX-License-Identifier: Apache-2.0
"""Where a party's database is: a file in its folder, or the URL that `database.url` there says.

The URL may hold a password, so the file is its owner's alone. It is chosen when the folder is made.
"""

import os
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from utility_server.errors import StoreError

URL_FILE: Final = "database.url"
_MOST_BYTES: Final = 4096


def database_url(text: str) -> URL:
    """Return the URL of a PostgreSQL database; raise `StoreError`, showing nothing of any other."""
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise StoreError("the database's URL is none: postgresql://USER@HOST:PORT/NAME") from None
    if url.get_backend_name() != "postgresql" or not url.database:
        raise StoreError("the database's URL is not of this kind: postgresql://USER@HOST:PORT/NAME")
    return url


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
