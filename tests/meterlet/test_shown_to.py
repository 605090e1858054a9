# SPDX-License-Identifier: Apache-2.0
"""Who else was shown what answers were worked out with, in sentences."""

from typing import Any

from meterlet.commands.inspect.releases import shown_to


def test_who_else_was_shown_the_prices_is_said_of_each_answer() -> None:
    public = {"number": 2, "time": "2025-03-03T09:00:00Z", "meters": 240}
    released: list[dict[str, Any]] = [
        {"time": "2025-04-01T00:00:00Z", "published": public},
        {"time": "2025-04-02T00:00:00Z", "published": None},
        {"time": "2025-04-03T00:00:00Z", "published": None},
    ]
    assert shown_to(released) == [
        "Everybody is shown what was worked with at 2025-04-01T00:00:00Z, since"
        " 2025-03-03T09:00:00Z, for 240 meters by its signer's word.",
        "The prices behind two answers are on no public list that this hub was given.",
    ]
    assert shown_to([]) == []
