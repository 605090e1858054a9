# SPDX-License-Identifier: Apache-2.0
"""What type checkers are to know of a telegram whose frame is intact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from sml_codec.files import Telegram
from sml_codec.frames import Frame

if TYPE_CHECKING:

    @dataclass(frozen=True, slots=True)
    class IntactTelegram(Telegram):
        """A telegram in an intact frame."""

        frame: Frame


def is_intact(telegram: Telegram) -> TypeGuard[IntactTelegram]:
    """Tell whether a telegram's frame is intact: its `frame` is a `Frame` then."""
    return telegram.is_intact
