# SPDX-License-Identifier: Apache-2.0
"""Consents as release 0.1 wrote them into the log."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hub.disclosure import ConsentTerms, guard
from hub.disclosure.records import terms_facts


@contextmanager
def as_0_1(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have consents written as 0.1 did: they do not say under which words they were given."""

    def facts(terms: ConsentTerms) -> dict[str, Any]:
        return {name: value for name, value in terms_facts(terms).items() if name != "words"}

    with monkeypatch.context() as patch:
        patch.setattr(guard, "terms_facts", facts)
        yield
