# SPDX-License-Identifier: Apache-2.0
"""Finds the line of every key, table and array element of a TOML text.

`tomllib` tells what a text says but not where. This walks a text that `tomllib` has accepted, so
it only needs to know where tokens end, and notes the line of each path, such as
("charge", 0, "band", 1, "price").
"""

import re
import tomllib
from typing import Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]

SPACE: Final = re.compile(r"[ \t]*")
BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
KEY: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
SCALAR: Final = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}(?!")'''  # up to two quotes may precede the closing three
    r"""|'''(?:.)*?'{3,5}(?!')"""
    r"""|"(?:[^"\\]|\\.)*"|'[^']*'|[^,\]}#\r\n]+""",
    re.DOTALL,
)


def lines_of(text: str) -> dict[Path, int]:
    """Return the line, from 1, on which each path of a valid TOML text begins."""
    walk = _Walk(text)
    walk.document()
    return walk.lines


class _Walk:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted = 0, 1
        self._counts: dict[Path, int] = {}
        self.lines: dict[Path, int] = {(): 1}

    def document(self) -> None:
        table: Path = ()
        self._skip(BLANK)
        while self._at < len(self._text):
            line = self._line()
            if self._text.startswith("[[", self._at):
                self._at += 2
                table = self._element(self._key())
                self._at = self._text.index("]]", self._at) + 2
                self.lines[table] = line
            elif self._text[self._at] == "[":
                self._at += 1
                table = self._resolve(self._key())
                self._at = self._text.index("]", self._at) + 1
                self.lines[table] = line
            else:
                self._pair(table)
            self._skip(BLANK)

    def _pair(self, table: Path) -> None:
        line = self._line()
        key = self._key()
        for size in range(1, len(key) + 1):
            self.lines.setdefault((*table, *key[:size]), line)
        self._at = self._text.index("=", self._at) + 1
        self._value((*table, *key))

    def _value(self, path: Path) -> None:
        self._skip(SPACE)
        match self._text[self._at]:
            case "[":
                self._sequence("]", path)
            case "{":
                self._sequence("}", path)
            case _:
                self._skip(SCALAR)

    def _sequence(self, closing: str, path: Path) -> None:
        self._at += 1
        number = 0
        while True:
            self._skip(BLANK)
            if self._text[self._at] == closing:
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
            elif closing == "}":
                self._pair(path)
            else:
                self.lines[(*path, number)] = self._line()
                self._value((*path, number))
                number += 1

    def _key(self) -> tuple[str, ...]:
        parts = []
        while True:
            self._skip(SPACE)
            found = KEY.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            raw = found[0]
            parts.append(next(iter(tomllib.loads(f"{raw} = 0"))) if raw[0] in "\"'" else raw)
            self._skip(SPACE)
            if self._text[self._at] != ".":
                return tuple(parts)
            self._at += 1

    def _resolve(self, key: tuple[str, ...]) -> Path:
        path: Path = ()
        for part in key:
            path = (*path, part)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path

    def _element(self, key: tuple[str, ...]) -> Path:
        path = (*self._resolve(key[:-1]), key[-1])
        number = self._counts.get(path, 0)
        self._counts[path] = number + 1
        self.lines.setdefault(path, self._line())
        return (*path, number)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _line(self) -> int:
        at, line = self._counted
        self._counted = self._at, line + self._text.count("\n", at, self._at)
        return self._counted[1]
