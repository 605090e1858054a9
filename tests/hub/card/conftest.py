# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.card.open import Card
from tests.support.card import add_applet, open_card


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    card = open_card(tmp_path)
    add_applet(card)
    yield card
    card.database.close()
