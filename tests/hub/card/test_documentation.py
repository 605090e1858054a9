# SPDX-License-Identifier: Apache-2.0
"""docs/card.md says what the card knows: nothing is missing in it."""

from pathlib import Path

from hub.card.commands.get_data import SOURCES
from hub.card.commands.table import NAMES
from hub.card.profile import PROFILES

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "card.md").read_text()


def test_every_instruction_is_in_the_table() -> None:
    for ins, name in NAMES.items():
        if name == "GET RESPONSE":
            assert name in TEXT
            continue
        rows = [line for line in TEXT.splitlines() if line.startswith("|") and name in line]
        assert any(f"{ins:02X}" in row for row in rows), name


def test_every_tag_of_get_data_and_every_profile_is_named() -> None:
    for tag in SOURCES:
        assert f"{tag:02X}" in TEXT
    for name in PROFILES:
        assert f"| `{name}` |" in TEXT
