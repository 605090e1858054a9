# SPDX-License-Identifier: Apache-2.0
"""On which line of a TOML file something is said.

`tomllib` tells no lines. But a key is said on the line with which the beginning of the file first
has it; which beginnings are whole TOML `tomllib` knows. So no second parser is needed, and none can
disagree.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from protocols.canonical.foreign_text import ForeignTextRefused, read_toml

_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")


@dataclass(frozen=True, slots=True)
class Places:
    """The lines of a text that is whole TOML."""

    text: str = field(repr=False)

    def line_of(self, path: Sequence[str]) -> int:
        """Return the line (from 1) on which a key begins, or else the table that it is missing in.

        0 where the text has none of them.
        """
        lines = self.text.splitlines(keepends=True)
        for size in range(len(path), 0, -1):
            wanted = path[:size]
            if _has(read_toml(self.text), wanted):
                return self._first_line(lines, wanted)
        return 0

    def _first_line(self, lines: list[str], wanted: Sequence[str]) -> int:
        low, high = 0, len(lines)  # the first `low` lines do not have it, the first `high` do
        while high - low > 1:
            middle = (low + high) // 2
            beginning = "".join(lines[: _whole(lines, middle)])
            if _has(read_toml(beginning), wanted):
                high = middle
            else:
                low = middle
        return _whole(lines, high - 1) + 1


def _whole(lines: list[str], most: int) -> int:
    """Return how many lines, `most` at most, are TOML by themselves."""
    for number in range(most, 0, -1):
        try:
            read_toml("".join(lines[:number]))
        except ForeignTextRefused:
            continue
        return number
    return 0


def _has(members: dict[str, Any], path: Sequence[str]) -> bool:
    found: object = members
    for key in path:
        if not isinstance(found, dict) or key not in found:
            return False
        found = found[key]
    return True


def line_of_fault(error: ForeignTextRefused, text: str) -> tuple[int, str]:
    """Return on which line a text stops being TOML, and what is wrong there."""
    message = str(error)
    match = _LINE.search(message)
    if match is None:
        return 0, message  # of the whole text
    line = int(match[1]) if match[1] else len(text.splitlines())
    return line, _LINE.sub("", message).strip().rstrip(":")


def suggestion(key: str, known: Sequence[str]) -> str:
    """Return what may have been meant, as the end of a sentence."""
    near = get_close_matches(key, known, 1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known are {', '.join(known)}"
