# SPDX-License-Identifier: Apache-2.0
"""A ledger's entries verified again, many at once: the first wrong one is named, in their order."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from protocols.metrology import Period
from tariffs.source import load_toml
from tests.support.drawn_bills import SUPPLIER, DrawnHome, drawn_homes
from tests.support.private_bills import FLAT
from utility_server.errors import LedgerTampered, UtilityError
from utility_server.retail import audit
from utility_server.retail.audit import check_entry, verified_entries
from utility_server.retail.claims import BILL
from utility_server.retail.ledger import LedgerEntry
from utility_server.retail.verification import BillBundle

PERIOD = Period(date(2013, 3, 25), date(2013, 4, 8))
TARIFF = load_toml(FLAT)
HOMES = drawn_homes(range(5), PERIOD, "Europe/London", 60)


class Kept:
    """A utility's entries with their evidence."""

    revocations = ()

    def __init__(self) -> None:
        self.entries = list[LedgerEntry]()
        self.bundles = dict[int, BillBundle]()
        self.keys = SimpleNamespace(public=SUPPLIER.public_key())
        self.customers = SimpleNamespace(find=self.find)
        self.ledger = SimpleNamespace(evidence=self.evidence)

    def evidence(self, entry: LedgerEntry) -> bytes:
        if entry.sequence not in self.bundles:
            raise LedgerTampered("gone")
        return self.bundles[entry.sequence].encode()

    def find(self, meter: bytes, *_: bytes) -> Any:
        [home] = [one for one in HOMES if one.series.meter == meter]
        return SimpleNamespace(certifier=home.keys.public_key.public_bytes_raw())

    def enter(self, home: DrawnHome) -> None:
        question, bundle = home.asked(TARIFF)
        _, tariff, bill = BILL.verify(bundle)
        number = len(self.entries) + 1
        content = {**BILL.content(question.about, tariff, bill), "evidence": bytes(32)}
        self.bundles[number] = bundle
        self.entries.append(LedgerEntry(number, 1, "bill", home.series.meter, content, bytes(32)))

    def bend(self, number: int) -> None:
        bundle = self.bundles[number]
        answer = HOMES[number - 1].answer(TARIFF)
        proof = answer.proof[:-1] + bytes([answer.proof[-1] ^ 1])
        wrong = replace(answer, proof=proof)
        self.bundles[number] = replace(bundle, answer=wrong.encode())

    def say(self, number: int, **facts: Any) -> None:
        entry = self.entries[number - 1]
        self.entries[number - 1] = replace(entry, content={**entry.content, **facts})


@pytest.fixture
def kept() -> Any:
    made = Kept()
    for home in HOMES:
        made.enter(home)
    return made


def outcome(kept: Any, entries: Iterator[LedgerEntry] | None = None) -> tuple[list[int], str]:
    """Return the numbers of the entries that verify, and what is raised then."""
    done = list[int]()
    try:
        for entry in verified_entries(kept, kept.entries if entries is None else entries):
            done.append(entry.sequence)
    except UtilityError as error:
        return done, str(error)
    return done, ""


@pytest.mark.parametrize("at_once", [64, 2, 1])
def test_the_first_wrong_entry_is_named_in_the_order_of_the_ledger(
    kept: Any, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "AT_ONCE", at_once)
    assert outcome(kept) == ([1, 2, 3, 4, 5], "")
    del kept.bundles[5]
    assert outcome(kept) == ([1, 2, 3, 4], "gone")
    kept.bend(4)
    done, why = outcome(kept)
    assert (done, why.split(":")[:2]) == ([1, 2, 3], ["proof", " entry 4"])
    kept.say(3, total="0.01")
    assert outcome(kept) == ([1, 2], "ledger: entry 3: it does not say what was verified")
    kept.bend(2)
    with pytest.raises(UtilityError) as alone:
        check_entry(kept, kept.entries[1])
    assert outcome(kept) == ([1], str(alone.value))


def test_what_the_ledger_itself_raises_comes_after_the_entries_before_it(kept: Any) -> None:
    def broken() -> Iterator[LedgerEntry]:
        yield from kept.entries[:3]
        raise LedgerTampered("entry 4 is missing")

    assert outcome(kept, broken()) == ([1, 2, 3], "entry 4 is missing")
    kept.say(2, meter=b"another")
    assert outcome(kept, broken())[0] == [1]


def test_entries_that_claim_nothing_are_passed_over(kept: Any) -> None:
    kept.entries[2] = replace(kept.entries[2], kind="refused", content={"why": "it was wrong"})
    assert outcome(kept) == ([1, 2, 3, 4, 5], "")
