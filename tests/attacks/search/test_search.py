# SPDX-License-Identifier: Apache-2.0
"""The searcher against the guard as it is: it finds nothing. `make soak` lets it search for longer.

A finding names its seed; `python -m tests.attacks.search --only SEED --world SIZE` plays it again.
"""

import pytest

from tests.attacks.search.search import Search


@pytest.mark.parametrize(("size", "seconds"), [("small", 6), ("month", 4)])
def test_nothing_is_found(size: str, seconds: float) -> None:
    search = Search(first_seed=1, size=size)
    found = [f"seed {one.seed}, {one.strategy}: {one.finding}" for one in search.run(seconds)]
    assert not found, search.summary()
    assert search.permitted > 0, "a guard that refuses everything is no guard"
