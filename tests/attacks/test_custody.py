# SPDX-License-Identifier: Apache-2.0
"""Who takes a hub over inherits nothing, and whoever bills never bills two people as one.

The new resident has the folder with all its keys. What was there before must not be in it, nor be
found out with it; and a hand-over that is cut off leaves a hub that is one person's.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from applets.common.evidence import AnswerRefused, check_days
from hub.applet_host.store import AppletStore
from hub.certifier import Certification, InheritedChain, NewCustody, ReadingsRefused
from hub.custody import HandOver, HandOverRefused, hand_over, move
from hub.device import Device, DeviceError, RoundsUnderWay
from hub.disclosure import ConsentTerms
from hub.disclosure.countersigned import HeadDesk
from hub.inspection.export.by_consent import consent_to_export, export_readings
from hub.inspection.store import open_inspection
from hub.inspection.web.access.residents import Residents
from hub.metering import FormerCustody
from hub.meters.emulated import emulated_meter_id
from hub.replacing import MAKING, READY
from hub.vault.vault import KeyReplaced, VaultTampered
from protocols.iso7816.apdu import CommandApdu
from protocols.log_head import P1_SHOW, LogHead, LogHeadError, ShownHead
from protocols.metrology import (
    CertifiedDay,
    DayContent,
    DayGrid,
    FirstDayOfCustody,
    MalformedDay,
    Period,
    verify_days,
)
from tests.support.rotating import NOW, ZONE, Dice, fill, make_hub
from utility_server.hub_conversation import log_command

FIRST, LAST = date(2025, 3, 1), date(2025, 3, 3)
TAKEN = LAST + timedelta(days=1)
FORMER = Period(FIRST, LAST)
KILLED = 77
LEFT_EMPTY = {
    "schema_version", "vault_key", "channel", "reading", "signed_slots", "meter_fact",
    "inherited_chain", "former_entry", "disclosure_entry", "disclosure_head", "key_announcement",
}  # fmt: skip
"""The tables that may have rows after a hand-over; whatever a release adds has none."""
SECRET: Final = b"an invoice that the former resident was sent"


def lived_in(folder: Path, *, fed_in: bool = False) -> None:
    """Make a hub with days, and with all that a resident leaves behind."""
    with make_hub(folder, FIRST, LAST, fed_in=fed_in) as device:
        terms = ConsentTerms(
            b"\xf0MTL\x01", bytes(32), "supplier", "billing", "linear", 1, 480, 9, 64,
            date(2035, 1, 1),
        )  # fmt: skip
        device.disclosure.grant(terms)
        device.disclosure.record_message(b"\xf0MTL\x01", "supplier", "billing", SECRET)
        device.disclosure.strangers.remember_source("192.0.2.7")
        AppletStore(device.database, b"\xf0MTL\x01", 10_000).put(b"resident/invoice/1", SECRET)
        with Residents.open(folder, lambda: NOW, Dice(1 << 21)) as residents:
            residents.add_first("anna", "a passphrase that is long")
        with open_inspection(device) as inspection, inspection.transaction() as connection:
            connection.execute("SELECT 1")
        # Some hours of the day on which the next resident moves in.
        fill(device, TAKEN, TAKEN, until=DayGrid(TAKEN, ZONE, 15).begin + 5 * 3600 + 7)
    (folder / "enrolments").mkdir()
    (folder / "enrolments" / "f0.enrolment").write_bytes(SECRET)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("custody") / "hub"
    lived_in(folder)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "hub")
    return tmp_path / "hub"


def opened(folder: Path) -> Device:
    return Device.open(folder, now=lambda: NOW)


def handed_over(folder: Path, **options: Any) -> HandOver:
    return hand_over(folder, now=lambda: NOW, **options)


def former_days(folder: Path) -> list[Certification]:
    with opened(folder) as device:
        return device.main.certifications(FORMER)


# --- What is gone --------------------------------------------------------------------------------


def test_no_table_has_anything_of_the_former_resident(folder: Path) -> None:
    done = handed_over(folder)
    assert done.first_day == TAKEN
    assert done.goes["certified_days"] == 3
    assert done.goes["consents"] == 1
    with closing(sqlite3.connect(folder / "hub.db")) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        filled = {
            name for (name,) in tables if connection.execute(f"SELECT 1 FROM {name}").fetchone()
        }
    assert filled <= LEFT_EMPTY
    with opened(folder) as device:
        begin = DayGrid(TAKEN, ZONE, 15).begin
        assert {
            one.time >= begin for one in device.main.vault.between(device.main.channel, 0, 1 << 40)
        } == {True}
        assert device.main.journal.span() is None
        assert device.disclosure.consents() == []
        assert device.document_keepers() == []
        assert [entry.kind for entry in device.disclosure.log.entries()] == ["custody"]
        assert device.disclosure.strangers.known_sources() == []
    names = {path.name for path in folder.iterdir()}
    assert not names & {"inspection.db", "residents.db", "enrolments", MAKING, READY}


def test_no_file_has_a_byte_of_it_and_no_former_key_is_left(folder: Path, template: Path) -> None:
    old_keys = {path.name: path.read_bytes() for path in (template / "keys").iterdir()}
    with opened(template) as device:
        blinding = device.main.certifier.keys.blinding_secret
        with closing(sqlite3.connect(folder / "hub.db")) as connection:
            sealed = [row[0] for row in connection.execute("SELECT sealed FROM reading LIMIT 50")]
    handed_over(folder)
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for secret in (old_keys["vault.key"], old_keys["issuer.key"], blinding, SECRET, *sealed):
        assert secret not in content


def test_whoever_guesses_the_uses_cannot_tell_from_commitments_that_they_are_right(
    folder: Path,
) -> None:
    """The signing key goes on; what blinded the former days is gone, with the hub's own secrets."""
    days = former_days(folder)
    with opened(folder) as device:
        was = device.main.certifier
        points = [was.slot_points(one.use) for one in days]
        for one, known in zip(days, points, strict=True):
            was.with_slots(one).verify(was.keys.public_key)
            assert known.encode() == was.with_slots(one).slots.encode()  # type: ignore[union-attr]
    handed_over(folder)
    with opened(folder) as device:
        certifier = device.main.certifier
        assert certifier.keys.signing_seed == was.keys.signing_seed
        assert certifier.keys.blinding_secret != was.keys.blinding_secret
        for one, known in zip(days, points, strict=True):
            assert certifier.slot_points(one.use).encode() != known.encode()


def test_a_process_that_has_the_former_key_writes_and_reads_nothing_more(folder: Path) -> None:
    with opened(folder) as device:
        handed_over(folder)
        with pytest.raises(KeyReplaced):
            device.disclosure.log.append(NOW, "late", {})
        assert not device.has_current_keys()
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            device.main.vault.latest(device.main.channel)


def test_a_former_database_that_is_put_back_does_not_open(folder: Path, template: Path) -> None:
    handed_over(folder)
    shutil.copy(template / "hub.db", folder / "hub.db")
    with pytest.raises(VaultTampered, match="another key"):
        opened(folder)


# --- What goes on --------------------------------------------------------------------------------


@pytest.mark.parametrize("fed_in", [False, True])
def test_the_utility_sees_one_chain_without_a_gap(tmp_path: Path, fed_in: bool) -> None:
    folder = tmp_path / "hub"
    lived_in(folder, fed_in=fed_in)
    with opened(folder) as device:
        before = {code: r.certifications(FORMER) for code, r in device.registers.items()}
        signed = {code: r.journal.slots(TAKEN)[0] for code, r in device.registers.items()}
    done = handed_over(folder)
    whole = Period(FIRST, TAKEN + timedelta(days=1))
    with opened(folder) as device:
        fill(device, TAKEN, TAKEN + timedelta(days=1))
        for code, register in device.registers.items():
            assert len(signed[code]) == 20
            assert register.journal.slots(TAKEN)[0][:20] == signed[code]  # none was signed anew
            after = register.certifications(Period(TAKEN, whole.last))
            certifier = register.certifier
            days = [one.day for one in before[code]]
            days += [certifier.with_slots(one) for one in after]
            verify_days(days, whole, certifier.series, certifier.keys.public_key)
            content = after[0].day.content
            assert isinstance(content, DayContent)
            assert content.events == (FirstDayOfCustody(done.custody),)
            assert content.counter == 4
            # Days of the new custody are proved as ever.
            period, opening = register.opened(after, needs_slots=True)
            assert len(period.commitments) == 192
            assert opening is not None
            assert register.certified_slots(TAKEN)[0].content.previous == before[code][-1].day.link


def test_keys_may_rotate_after_a_hand_over_and_before(folder: Path) -> None:
    with opened(folder) as device:
        device.rotate_certifier_key()
    handed_over(folder)
    with opened(folder) as device:
        device.rotate_vault_key()
    with opened(folder) as device:
        device.rotate_certifier_key()
    with opened(folder) as device:
        fill(device, TAKEN, TAKEN + timedelta(days=2))
        [first, *_] = device.main.certifications(Period(TAKEN, TAKEN + timedelta(days=1)))
        first.day.verify(device.main.certifier.keys.public_key)
        assert device.disclosure.log.verify() == len(list(device.disclosure.log.entries())) + (
            device.disclosure.log.former()
        )
        assert device.main.custody_begins == TAKEN


def test_one_hand_over_follows_another(folder: Path) -> None:
    handed_over(folder)
    with pytest.raises(HandOverRefused, match="no day of this custody is certified"):
        handed_over(folder)
    with opened(folder) as device:
        fill(device, TAKEN, TAKEN)
        [day] = device.main.certifications(Period(TAKEN, TAKEN))
    second = handed_over(folder)
    assert second.first_day == TAKEN + timedelta(days=1)
    with opened(folder) as device:
        fill(device, TAKEN + timedelta(days=1), TAKEN + timedelta(days=1))
        later = Period(second.first_day, second.first_day)
        [next_day] = device.main.certifications(later)
        assert next_day.day.content.previous == day.day.link
        with pytest.raises(FormerCustody):
            device.main.certifications(Period(TAKEN, TAKEN))


def test_the_inherited_chain_is_read_strictly() -> None:
    whole = InheritedChain(bytes(16), TAKEN, 4, bytes(32), b"meter", 1, 77, 5, (1, 2))
    data = whole.encode()
    assert InheritedChain.decode(data) == whole
    bent = [data[:place] for place in range(len(data))] + [data + b"\0", b"\x80", b""]
    for other in bent:
        with pytest.raises(ReadingsRefused, match="how the custody began is damaged"):
            InheritedChain.decode(other)


# --- The log -------------------------------------------------------------------------------------


def shown(device: Device, kept: LogHead) -> ShownHead:
    desk = HeadDesk(device.disclosure.log)
    command: CommandApdu = log_command(P1_SHOW, kept.length.to_bytes(8, "big"))
    return ShownHead.decode(desk.answer(b"", "supplier", command, NOW).data)


def test_a_recipient_sees_a_log_that_has_grown_and_nothing_of_what_was_in_it(folder: Path) -> None:
    with opened(folder) as device:
        length, head = device.disclosure.log.length(), device.disclosure.log.head()
        heads = [device.disclosure.log.head_at(number) for number in range(1, length + 1)]
    handed_over(folder)
    with opened(folder) as device:
        log = device.disclosure.log
        assert log.verify() == length + 1
        [entry] = log.entries()
        assert (entry.sequence, entry.kind) == (length + 1, "custody")
        assert entry.facts["former_entries"] == length
        for kept in heads:
            assert shown(device, kept).after(kept) == log.head()
        assert log.head_at(length) == head
        log.append(NOW, "more", {})
        assert log.verify() == length + 2


def test_a_log_that_begins_anew_is_not_accepted(folder: Path, tmp_path: Path) -> None:
    """Whoever has the new hub cannot let it forget the announced beginning, or what was before."""
    with opened(folder) as device:
        kept = device.disclosure.log.head()
    handed_over(folder)
    with make_hub(tmp_path / "other") as device:
        for _ in range(kept.length + 3):
            device.disclosure.log.append(NOW, "custody", {})
        with pytest.raises(LogHeadError, match="not the one that had"):
            shown(device, kept).after(kept)
    with opened(folder) as device:
        log = device.disclosure.log
        with device.database.transaction() as connection:
            connection.execute("DROP TRIGGER former_entry_is_never_changed")
            connection.execute("UPDATE former_entry SET leaf = ? WHERE sequence = 1", (bytes(32),))
        with pytest.raises(Exception, match="entry 1 is not what was written"):
            log.verify()


def test_a_whole_folder_that_is_put_back_is_found_by_its_log(folder: Path, template: Path) -> None:
    handed_over(folder)
    with opened(folder) as device:
        kept = device.disclosure.log.head()
    with opened(template) as device, pytest.raises(LogHeadError, match="put back to an older"):
        shown(device, kept).after(kept)


# --- Questions about the days before -------------------------------------------------------------


def test_days_of_the_former_resident_are_refused_by_name_to_whoever_asks(folder: Path) -> None:
    handed_over(folder)
    with opened(folder) as device:
        fill(device, TAKEN, TAKEN)
        for period in (FORMER, Period(LAST, TAKEN), Period(FIRST, FIRST)):
            for ask in (
                device.main.certifications, device.main.uses, device.main.statement_days,
                device.main.require_custody,
            ):  # fmt: skip
                with pytest.raises(FormerCustody, match=f"began on {TAKEN}") as refusal:
                    ask(period)
                assert refusal.value.status_word == 0x6985
                assert refusal.value.exit_code == 5
        consent = consent_to_export(device, "adviser", "advice", 15, FORMER, date(2035, 1, 1))
        with pytest.raises(FormerCustody):
            export_readings(device, consent.number)
        [entry] = device.disclosure.log.entries("refusal")
        assert entry.facts["why"].startswith("custody: ")
        assert entry.facts["recipient"] == "adviser"
        with pytest.raises(Exception, match="certified already"):
            device.main.record(NewCustody(DayGrid(LAST, ZONE, 15).begin, bytes(16)))


# --- A bill of two custodies ---------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """Days across a change of custody, of a hub that has kept what it should not have."""

    days: list[CertifiedDay]
    period: Period
    device: Device


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with make_hub(tmp_path / "hub", FIRST, LAST) as device:
        device.main.record(NewCustody(DayGrid(TAKEN, ZONE, 15).begin, bytes(range(16))))
        fill(device, TAKEN, TAKEN + timedelta(days=1))
        period = Period(FIRST, TAKEN + timedelta(days=1))
        yield Kept([one.day for one in device.main.certifications(period)], period, device)


def refused(kept: Kept, days: list[CertifiedDay], period: Period) -> str:
    certifier = kept.device.main.certifier
    encoded = [day.encode() for day in days]
    with pytest.raises(AnswerRefused) as refusal:
        check_days(encoded, period, certifier.series, certifier.keys.public_key)
    return refusal.value.check


def test_a_bill_that_spans_a_change_of_custody_is_refused_by_name(kept: Kept) -> None:
    assert refused(kept, kept.days, kept.period) == "custody"
    for first, last in ((2, 4), (2, 5)):
        period = Period(kept.days[first].day, kept.days[last - 1].day)
        assert refused(kept, kept.days[first:last], period) == "custody"
    certifier = kept.device.main.certifier
    for days in (kept.days[:3], kept.days[3:]):  # each custody by itself
        period = Period(days[0].day, days[-1].day)
        encoded = [day.encode() for day in days]
        check_days(encoded, period, certifier.series, certifier.keys.public_key)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: replace(c, events=()),
        lambda c: replace(c, events=(FirstDayOfCustody(bytes(16)),)),
    ],
)
def test_a_custody_that_is_left_out_or_renamed_is_refused(
    kept: Kept, change: Callable[[DayContent], DayContent]
) -> None:
    content = kept.days[3].content
    assert isinstance(content, DayContent)
    days = list(kept.days)
    days[3] = replace(days[3], content=change(content))
    assert refused(kept, days, kept.period) == "signature"


def test_a_custody_moves_to_no_other_day(kept: Kept) -> None:
    content, other = kept.days[3].content, kept.days[2].content
    assert isinstance(content, DayContent)
    assert isinstance(other, DayContent)
    days = list(kept.days)
    days[2] = replace(days[2], content=replace(other, events=content.events))
    assert refused(kept, days, kept.period) == "signature"
    with pytest.raises(MalformedDay, match="begins with a day"):
        FirstDayOfCustody(bytes(16), slot=4)


# --- Cut off -------------------------------------------------------------------------------------


def steps_of(run: Callable[..., HandOver], folder: Path) -> list[str]:
    steps: list[str] = []
    run(folder, step=steps.append)
    return steps


def killed_at(place: int, run: Callable[..., HandOver], folder: Path) -> None:
    """Run in a process of its own, which dies at its so manieth step."""
    child = os.fork()
    if child == 0:
        seen: list[str] = []

        def step(name: str) -> None:
            seen.append(name)
            if len(seen) == place + 1:
                os._exit(KILLED)

        try:
            run(folder, step=step)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == KILLED


def moved(folder: Path, **options: Any) -> HandOver:
    return move(folder, emulated_meter_id(9), now=lambda: NOW, **options)


@pytest.mark.parametrize("run", [handed_over, moved])
def test_a_hand_over_that_is_killed_at_any_step_has_happened_or_not(
    run: Callable[..., HandOver], template: Path, tmp_path: Path
) -> None:
    shutil.copytree(template, tmp_path / "whole")
    steps = steps_of(run, tmp_path / "whole")
    committed = steps.index("the new files are the hub's")
    assert len(steps) > 9
    for place in range(len(steps)):
        folder = tmp_path / f"hub-{place}"
        shutil.copytree(template, folder)
        killed_at(place, run, folder)
        with opened(folder) as device:
            kinds = [entry.kind for entry in device.disclosure.log.entries()]
            device.disclosure.check_log()
            if place < committed:
                assert "custody" not in kinds
                assert device.main.vault.count(device.main.channel) > 200
                assert len(device.disclosure.consents()) == 1
            else:
                assert kinds == ["custody"]
                assert device.main.vault.count(device.main.channel) < 30
        assert not (folder / READY).exists()
        if place >= committed:
            assert not (folder / "residents.db").exists()
        elif run is handed_over:
            run(folder)  # what was cut off is done from the start
            with opened(folder) as device:
                assert device.main.custody_begins == TAKEN
        assert not (folder / MAKING).exists()


# --- What is refused -----------------------------------------------------------------------------


def test_a_custody_begins_with_the_day_that_is_due_and_no_other(folder: Path) -> None:
    for day in (LAST, TAKEN + timedelta(days=1), FIRST):
        with pytest.raises(HandOverRefused, match=f"can begin with {TAKEN} only"):
            handed_over(folder, first_day=day)
    assert handed_over(folder, first_day=TAKEN).first_day == TAKEN


def test_another_meter_means_another_hub(folder: Path) -> None:
    with pytest.raises(HandOverRefused, match="without naming a meter"):
        move(folder, emulated_meter_id(1))
    with opened(folder) as device:
        was = device.main.certifier.keys
    (folder / "authorities" / "meter.certificate").write_bytes(b"of the former meter")
    (folder / "vendors" / "vendor.pem").write_bytes(b"kept")
    moved(folder)
    assert (folder / "vendors" / "vendor.pem").read_bytes() == b"kept"
    (folder / "vendors" / "vendor.pem").unlink()
    assert not (folder / "authorities" / "meter.certificate").exists()
    with opened(folder) as device:
        assert device.description.meter == emulated_meter_id(9)
        keys = device.main.certifier.keys
        assert keys.signing_seed != was.signing_seed
        assert keys.blinding_secret != was.blinding_secret
        assert device.main.custody_begins is None  # a chain of its own
        fill(device, FIRST, LAST)
        assert device.main.certifications(FORMER)[0].day.content.counter == 1
        assert [entry.kind for entry in device.disclosure.log.entries()] == ["custody"]


def test_a_hub_without_days_is_not_handed_over(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    with make_hub(folder, FIRST, FIRST):
        pass
    shutil.rmtree(folder)
    with pytest.raises(DeviceError, match="there is no hub"):
        handed_over(folder)


def test_sums_that_are_under_way_are_not_abandoned_unasked(folder: Path) -> None:
    with opened(folder) as device, device.database.transaction() as connection:
        connection.execute(
            "INSERT INTO aggregation_round (digest, applet, announced, contribution, valid_until)"
            " VALUES (x'01', x'02', x'03', x'04', ?)",
            (NOW + 99,),
        )
    with pytest.raises(RoundsUnderWay, match="--abandon-rounds"):
        handed_over(folder)
    handed_over(folder, abandon_rounds=True)
