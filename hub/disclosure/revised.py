# SPDX-License-Identifier: Apache-2.0
"""Corrected slots, as the log's entries name them: a place or a start, and a revision, of each."""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any, Final

_REVISED: Final = Struct("<qq")


def revised_facts(revised: Sequence[tuple[int, int]]) -> bytes:
    """Return what the log says of corrected slots."""
    return b"".join(_REVISED.pack(*one) for one in revised)


def revised_of(facts: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Return the corrected slots in an entry's facts; none where it names none."""
    return tuple((at, revision) for at, revision in _REVISED.iter_unpack(facts.get("revised", b"")))
