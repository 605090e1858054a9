# SPDX-License-Identifier: Apache-2.0
"""The ledger verified in parts: here, in processes, on Ray where that is installed."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.support.answered_crowd import answered_crowd
from tests.support.ray import on_ray
from utility_server.database import evidence_table, ledger_table, writing
from utility_server.errors import LedgerTampered, StoreError, UtilityError
from utility_server.fan_out import FanOut, InProcesses, InThisProcess
from utility_server.retail import opened, parted_audit
from utility_server.retail.entering import enter_answers
from utility_server.retail.parted_audit import AuditProgress, audit
from utility_server.retail.utility import Utility

ENTRIES = 7


@pytest.fixture
def utility(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Utility]:
    monkeypatch.setattr(parted_audit, "PART", 3)
    with Utility.create(tmp_path / "utility", now=lambda: 1_750_000_000) as utility:
        crowd = answered_crowd(utility, ENTRIES, wrong=(3,))
        enter_answers(utility, crowd.nonces)
        yield utility
    opened.close_opened()


def outcome(
    utility: Utility, how: FanOut, begun: AuditProgress | None = None
) -> tuple[list[int], str]:
    """Return where an audit has stood, and what it has found wrong."""
    stood = list[int]()
    begun = AuditProgress() if begun is None else begun
    try:
        audit(utility, how, begun, lambda reached: stood.append(reached.checked))
    except UtilityError as error:
        return stood, str(error)
    return stood, ""


def lose_evidence(utility: Utility, number: int) -> None:
    digest = utility.ledger.entry(number).content["evidence"]
    with writing(utility.engine) as connection:
        connection.execute(
            update(evidence_table).where(evidence_table.c.digest == digest).values(content=b"?")
        )


def change_entry(utility: Utility, number: int) -> None:
    body = utility.ledger.entry(number - 1)
    with writing(utility.engine) as connection:
        connection.execute(
            update(ledger_table)
            .where(ledger_table.c.sequence == number)
            .values(body=b"\x80", digest=body.digest)
        )


def test_what_is_first_in_the_ledger_is_named_first(utility: Utility) -> None:
    how = InThisProcess()
    assert outcome(utility, how) == ([3, 6, 7], "")
    change_entry(utility, 7)
    assert outcome(utility, how) == ([3, 6], "ledger: entry 7 is not what was written")
    lose_evidence(utility, 5)
    assert outcome(utility, how) == ([3], "ledger: the evidence of entry 5 is not there")
    lose_evidence(utility, 2)
    assert outcome(utility, how) == ([], "ledger: the evidence of entry 2 is not there")


def test_who_goes_on_verifies_no_evidence_twice_and_the_whole_chain(
    utility: Utility, tmp_path: Path
) -> None:
    how, file = InThisProcess(), tmp_path / "progress"
    assert AuditProgress.read(file) == AuditProgress()
    begun = AuditProgress(3, utility.ledger.entry(3).digest)
    begun.write(file)
    assert AuditProgress.read(file) == begun
    lose_evidence(utility, 2)
    assert outcome(utility, how, begun) == ([6, 7], "")
    whole = AuditProgress(ENTRIES, utility.ledger.entry(ENTRIES).digest)
    assert outcome(utility, how, whole) == ([], "")
    # Of another ledger, or of one that has lost entries since.
    other = AuditProgress(3, bytes(32))
    assert "not the one that was audited" in outcome(utility, how, other)[1]
    beyond = AuditProgress(ENTRIES + 1, bytes(32))
    assert "entry 8, which was audited, is missing" in outcome(utility, how, beyond)[1]
    change_entry(utility, 2)
    assert outcome(utility, how, begun) == ([], "ledger: entry 2 is not what was written")


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"format": "meterlet audit 1", "checked": true, "digest": ""}',
     '{"format": "meterlet audit 1", "checked": 3, "digest": "00"}',
     '{"format": "meterlet audit 1", "checked": 0, "digest": "' + "00" * 32 + '"}'],
)  # fmt: skip
def test_a_file_that_says_no_progress_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "progress").write_text(text)
    with pytest.raises(StoreError, match="does not say how far"):
        AuditProgress.read(tmp_path / "progress")


def test_entries_that_change_between_reading_and_verifying_are_found(utility: Utility) -> None:
    [part, *_] = parted_audit._Reading(utility, AuditProgress()).parts()
    assert parted_audit.check_part(utility.folder, part) == part
    with pytest.raises(LedgerTampered, match="entry 3 has changed meanwhile"):
        parted_audit.check_part(
            utility.folder, parted_audit.LedgerPart(1, 3, part.before, sha256(b"other").digest())
        )
    with pytest.raises(LedgerTampered, match="entry 9 has changed meanwhile"):
        parted_audit.check_part(
            utility.folder, parted_audit.LedgerPart(1, 9, part.before, part.after)
        )


@pytest.mark.sqlite_file
@pytest.mark.parametrize("make", [lambda: InProcesses(2), on_ray], ids=["processes", "ray"])
def test_other_processes_find_the_same(utility: Utility, make: Callable[[], FanOut]) -> None:
    how = make()
    assert outcome(utility, how) == ([3, 6, 7], "")
    lose_evidence(utility, 5)
    assert outcome(utility, how) == ([3], "ledger: the evidence of entry 5 is not there")


@pytest.mark.sqlite_file
def test_other_processes_say_what_is_wrong_as_this_one_does(utility: Utility) -> None:
    """An error has more than a text, and comes through as it is."""
    refused, right = utility.ledger.entry(4), utility.ledger.entry(3)
    wrong, facts = utility.ledger.evidence(refused), dict(right.content)
    del facts["evidence"]
    utility.ledger.append(1_750_000_000, "bill", refused.meter, facts, wrong)
    here, there = outcome(utility, InThisProcess()), outcome(utility, InProcesses(1))
    assert here[1].startswith("total: entry 8")
    assert there == here
