# SPDX-License-Identifier: Apache-2.0
"""How many of something, in English."""

from hub.text import counted, missing_in_words


def test_one_is_told_from_several() -> None:
    assert [counted(n, "bit") for n in (0, 1, 2)] == ["0 bits", "1 bit", "2 bits"]
    assert [missing_in_words(n) for n in (1, 2972)] == [
        "1 slot is missing", "2,972 slots are missing",
    ]  # fmt: skip
