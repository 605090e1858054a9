# SPDX-License-Identifier: Apache-2.0
"""Attention numbers: how a server refuses or confirms (SML 1.03, table 2)."""

from __future__ import annotations

import enum


class Attention(enum.Enum):
    """The numbers of the standard, as they stand in `AttentionRes.number`."""

    OK = bytes.fromhex("8181c7c7fd00")
    """The command was carried out."""
    RUNNING = bytes.fromhex("8181c7c7fd01")
    """The command will be carried out."""
    UNSPECIFIED = bytes.fromhex("8181c7c7fe00")
    UNKNOWN_MESSAGE = bytes.fromhex("8181c7c7fe01")
    NOT_AUTHORIZED = bytes.fromhex("8181c7c7fe02")
    NO_SUCH_SERVER = bytes.fromhex("8181c7c7fe03")
    NO_SUCH_FILE = bytes.fromhex("8181c7c7fe04")
    CANNOT_WRITE = bytes.fromhex("8181c7c7fe05")
    CANNOT_READ = bytes.fromhex("8181c7c7fe06")

    @property
    def is_confirmation(self) -> bool:
        """Whether it is no error."""
        return self in (Attention.OK, Attention.RUNNING)
