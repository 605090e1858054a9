# SPDX-License-Identifier: Apache-2.0
"""Bytes that a command is told in hex."""

from collections.abc import Container
from typing import Any

import rich_click as click


class Hex(click.ParamType[bytes]):
    """Bytes, written in hex; of one of these sizes, where they are said."""

    def __init__(
        self, what: str = "hex", sizes: Container[int] | None = None, name: str = "HEX"
    ) -> None:
        """`what` says for the message what any other value is not."""
        self.name, self._what, self._sizes = name, what, sizes

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        """Return the bytes."""
        if isinstance(value, bytes):
            return value
        try:
            data = bytes.fromhex(str(value))
        except ValueError:
            data = None
        if data is None or (self._sizes is not None and len(data) not in self._sizes):
            self.fail(f"{value!r} is not {self._what}", param, ctx)
        return data
