# SPDX-License-Identifier: Apache-2.0
"""Elements that know more about their place than an element says: what typed values lower to."""

from __future__ import annotations

from typing import Any


class SignedNumber(int):
    """An integer that is sent signed, in as many bytes as it needs."""

    __slots__ = ()


class EmptyOctets(bytes):
    """An empty octet string where none may be left out, so that a missing one says enough."""

    __slots__ = ()


class LoweredFields(tuple[Any, ...]):
    """The elements of a record, of which those after the first `required` may be left out."""

    required = 0

    def may_end_after(self, count: int) -> bool:
        """Whether only fields that may be left out, and are, follow the first `count`."""
        if not self.required <= count < len(self):
            return False
        return all(field is None for field in self[count:])
