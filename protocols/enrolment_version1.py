# SPDX-License-Identifier: Apache-2.0
"""Enrolment files of version 1, as release 0.1 wrote them. Frozen: utilities hold such files.

    {"format": "meterlet enrolment 1", "meter": hex, "register": hex, "zone": "Europe/Berlin",
     "feed_in_register": hex, "slot_minutes": 15, "certifier": hex (Ed25519), "applet": hex (AID),
     "security_domain": hex (AID), "keys": {"version": 48, "enc": hex, "mac": hex, "dek": hex}}

A hub without an export register has no member "feed_in_register".
"""

from collections.abc import Mapping
from typing import Any, Final

from protocols.metrology.registers import is_feed_in_pair

FORMAT: Final = "meterlet enrolment 1"
_FEED_IN: Final = "feed_in_register"
_ONLY_HERE: Final = ("register", "slot_minutes")


def to_version_2(members: Mapping[str, Any], version_2: str) -> dict[str, Any]:
    """Return a file of version 1 as version 2 says it; raise `ValueError` for what is none."""
    for name in ("main", "registers"):
        if name in members:
            raise ValueError(f"{name}: unknown")
    for name in _ONLY_HERE:
        if name not in members:
            raise ValueError(f"{name}: missing")
    rest = {name: value for name, value in members.items() if name not in (*_ONLY_HERE, _FEED_IN)}
    codes = [members["register"], *([members[_FEED_IN]] if _FEED_IN in members else ())]
    if not all(isinstance(code, str) for code in codes):
        raise ValueError("register: not of type str")
    if len(codes) == 2 and not is_feed_in_pair(*map(_code, codes)):
        raise ValueError(f"{_FEED_IN}: not of what the register's meter feeds in")
    terms = {"slot_minutes": members["slot_minutes"]}
    registers = dict.fromkeys(codes, terms)
    return {**rest, "format": version_2, "main": codes[0], "registers": registers}


def _code(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
