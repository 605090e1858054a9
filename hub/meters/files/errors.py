# SPDX-License-Identifier: Apache-2.0
"""The error of files of readings."""

from pathlib import Path
from typing import Final

from hub.errors import HubError

LONGEST_LINE: Final = 400


class ReplayError(HubError):
    """A file cannot be replayed; nothing of it was taken."""


def wrong_line(path: Path, number: int, what: str) -> ReplayError:
    """Return the error about a line of a file."""
    return wrong_file(path, f"line {number}: {what}")


def wrong_file(path: Path, what: str) -> ReplayError:
    """Return the error about a file, in one line of bounded length."""
    line = "".join(letter if letter.isprintable() else " " for letter in what)
    return ReplayError(f"{path}: {' '.join(line.split())[:LONGEST_LINE]}")
