# SPDX-License-Identifier: Apache-2.0
"""A certifier's key that changes: old days verify, and what has ended signs nothing."""

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Engine

from hub.certifier import CertifierKeys, KeyFileError, OutOfOrder
from hub.device import Description, Device, DeviceError
from hub.metering import ForeignDays
from protocols.metrology import (
    ACTIVE_ENERGY_IMPORT,
    CertifiedDay,
    ChainRefused,
    DayContent,
    DayRefused,
    KeyChain,
    MalformedAnnouncement,
    MalformedDay,
    Period,
    verify_days,
)
from protocols.metrology.key_chain import EARLIEST, decode_announcements, encode_announcements
from protocols.proofs import SlotOpening, VectorOpening, VectorPart, commit, commit_vector
from tests.support.rotating import NOW, Dice, fill, make_hub
from utility_server.database import open_database, writing
from utility_server.errors import VerificationFailed
from utility_server.retail.certifier_keys import learn_announcements
from utility_server.retail.ledger import Ledger

FIRST = date(2025, 3, 1)
DAY = timedelta(days=1)
METER = b"meter 1"
K = [Ed25519PrivateKey.from_private_bytes(bytes([n] * 32)) for n in range(1, 7)]


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub that certified three days with each of three keys."""
    folder = tmp_path_factory.mktemp("certifier") / "hub"
    make_hub(folder, FIRST, FIRST + 2 * DAY, fed_in=True).close()
    shutil.copy(folder / "keys" / "certifier.key", folder.parent / "first.key")
    for number in (1, 2):
        with opened(folder, number) as device:
            device.rotate_certifier_key()
        with opened(folder, 10 + number) as device:
            fill(device, FIRST + 3 * number * DAY, FIRST + (3 * number + 2) * DAY)
    return folder


def opened(folder: Path, seed: int = 50) -> Device:
    return Device.open(folder, randomness=Dice(seed << 20), now=lambda: NOW)


def days_of(device: Device, register: bytes | None = None) -> list[CertifiedDay]:
    meter = device.main if register is None else device.registers[register]
    return [
        CertifiedDay.decode(day.certified) for day in meter.journal.between(FIRST, FIRST + 31 * DAY)
    ]


def verify(device: Device, days: Sequence[CertifiedDay]) -> None:
    period = Period(days[0].day, days[-1].day)
    verify_days(days, period, device.main.certifier.series, device.main.certifier.keys.public_key)


def root_of(folder: Path) -> Ed25519PublicKey:
    with opened(folder) as device:
        return device.main.certifier.keys.public_key


def signed_by(day: CertifiedDay, key: Ed25519PrivateKey, announcements: int = 0) -> CertifiedDay:
    """Return the day as a thief of a key would sign it, with so many announcements."""
    return CertifiedDay.sign(day.content, key, announcements=day.announcements[:announcements])


def test_days_of_all_keys_verify_from_the_first_key_and_sum_up_at_the_seams(rotated: Path) -> None:
    with opened(rotated) as device:
        days, keys = days_of(device), device.main.certifier.keys
        assert len(days) == 9
        verify(device, days)
        verify(device, days[4:8])
        assert [len(day.announcements) for day in days] == [0] * 3 + [1] * 3 + [2] * 3
        assert [CertifiedDay.decode(day.encode()) for day in days] == days
        for register in device.registers.values():
            done = register.certifications(Period(FIRST, FIRST + 8 * DAY))
            source = [wh for one in done for wh in one.use.uses]
            for needs_slots in (False, True):  # with the blindings of three secrets
                opening = register.certifier.opening(done, needs_slots=needs_slots)
                assert list(opening.uses) == source
        assert len(set(keys.earlier_secrets)) == 2
        chain = keys.chain(device.description.meter)
        assert [chain.key_for(day.day) for day in (days[0], days[3], days[8])] == [
            chain.root, keys.announcements[0].new, keys.signing_public_key,
        ]  # fmt: skip


def test_openings_fit_the_commitments_of_every_keys_days(rotated: Path) -> None:
    with opened(rotated) as device:
        done = device.main.certifications(Period(FIRST, FIRST + 8 * DAY))
        period, opening = device.main.opened(done, needs_slots=True)
        points = period.commitments
        assert isinstance(opening, SlotOpening)
        for day in period.days:
            day.verify(device.main.certifier.keys.public_key)
        for place in (0, 3 * 96, 3 * 96 - 1, 9 * 96 - 1):
            assert points[place] == commit(opening.uses[place], opening.blindings[place])
        whole = device.main.certifier.opening(done, needs_slots=False)
        assert isinstance(whole, VectorOpening)
        for one, blinding in zip(done, whole.blindings, strict=True):
            part = VectorPart.of_day(one.day.day.day, len(one.use.grid))
            assert isinstance(one.day.content, DayContent)
            assert one.day.content.vector == commit_vector(part, one.use.uses, blinding)


def test_the_old_seed_is_in_no_file_after_a_rotation(rotated: Path) -> None:
    first = CertifierKeys.load(rotated.parent / "first.key")
    for path in rotated.rglob("*"):
        if path.is_file():
            assert first.signing_seed not in path.read_bytes(), path


def test_an_old_key_signs_no_later_day_whatever_it_carries(rotated: Path) -> None:
    thief = CertifierKeys.load(rotated.parent / "first.key").signing_key
    with opened(rotated) as device:
        days = days_of(device)
        assert isinstance(days[7].content, DayContent)
        other = replace(days[7], content=replace(days[7].content, slots=bytes(32)))
        for announcements in (1, 2):  # with those announcements it is another key that signs
            forged = signed_by(other, thief, announcements)
            with pytest.raises(DayRefused, match="signature does not match"):
                verify(device, [*days[:7], forged, days[8]])
            with pytest.raises(DayRefused, match="signature does not match"):
                verify(device, [*days[:8], signed_by(days[8], thief, announcements)])
        # What the next day vouches for is what was certified, whoever signed it once more.
        verify(device, [*days[:7], signed_by(days[7], thief, 2), days[8]])
        with pytest.raises(DayRefused, match="had ended before that day"):
            verify(device, [*days[:7], signed_by(days[7], thief), days[8]])
        with pytest.raises(MalformedDay, match="had not come into force"):
            replace(days[0], announcements=days[8].announcements)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    engine: Engine = open_database(tmp_path / "utility.db")
    yield Ledger(engine)
    engine.dispose()


def enter(ledger: Ledger, days: Sequence[CertifiedDay]) -> None:
    ledger.append(1, "bill", days[0].content.meter, {}, b"bundle", days)


def test_a_utility_that_knows_the_successor_takes_no_later_day_of_the_old_key(
    rotated: Path, ledger: Ledger
) -> None:
    thief = CertifierKeys.load(rotated.parent / "first.key").signing_key
    with opened(rotated) as device:
        days = days_of(device)
    enter(ledger, days[:4])
    forged = signed_by(days[5], thief)
    forged.verify(root_of(rotated))  # by itself it looks right: what was announced is left out
    with pytest.raises(VerificationFailed, match=r"certifier: .* had ended before") as failed:
        enter(ledger, [forged])
    assert failed.value.check == "certifier"
    enter(ledger, days)  # later keys are learned on the way
    with pytest.raises(VerificationFailed, match="had ended before"):
        enter(ledger, [signed_by(days[8], thief)])
    enter(ledger, days[:3])  # old days stay what they were
    assert len(list(ledger.entries())) == 3


def test_a_thiefs_own_announcement_is_not_the_one_that_is_known(
    rotated: Path, ledger: Ledger
) -> None:
    first = CertifierKeys.load(rotated.parent / "first.key")
    with opened(rotated) as device:
        days = days_of(device)
    stolen = first.succeeded(days[0].content.meter, days[3].day, Dice(99 << 20))
    forged = CertifiedDay.sign(
        days[3].content, stolen.signing_key, announcements=stolen.announcements
    )
    forged.verify(root_of(rotated))
    enter(ledger, days[:4])
    with pytest.raises(VerificationFailed, match="certifier: .*is not the one that is known"):
        enter(ledger, [forged])


def test_an_enrolment_tells_the_keys_so_that_a_new_recipient_knows_them(
    rotated: Path, ledger: Ledger
) -> None:
    thief = CertifierKeys.load(rotated.parent / "first.key").signing_key
    with opened(rotated) as device:
        days, announcements = days_of(device), device.main.certifier.keys.announcements
    with writing(ledger.engine) as connection:
        learn_announcements(connection, days[0].content.meter, announcements)
    with pytest.raises(VerificationFailed, match="had ended before"):
        enter(ledger, [signed_by(days[5], thief)])


def chain(*first_days: date) -> KeyChain:
    made = KeyChain(METER, public(K[0]))
    for place, first in enumerate(first_days):
        made = made.succeeded(first, K[place], K[place + 1])
    return made


GOOD = chain(FIRST, FIRST + DAY, FIRST + DAY)


def test_announcements_are_chained_and_have_one_encoding() -> None:
    data = encode_announcements(GOOD.announcements)
    assert decode_announcements(data) == GOOD.announcements
    assert GOOD.key_for(FIRST - DAY) == public(K[0])
    assert GOOD.key_for(FIRST) == public(K[1])
    assert GOOD.key_for(FIRST + DAY) == GOOD.current == public(K[3])  # K[2] never signed anything
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            forged = decode_announcements(changed)
        except MalformedAnnouncement:
            continue
        with pytest.raises(ChainRefused):
            KeyChain(METER, public(K[0]), forged)


@pytest.mark.parametrize(
    ("announcements", "why"),
    [
        (GOOD.announcements[1:], "announcement 1 does not follow"),
        ((GOOD.announcements[0], GOOD.announcements[2]), "announcement 2 does not follow"),
        ((GOOD.announcements[1], GOOD.announcements[0]), "announcement 1 does not follow"),
        ((GOOD.announcements[0],) * 2, "announcement 2 does not follow"),
        (chain(FIRST).announcements[:0] + KeyChain(METER, public(K[4])).succeeded(
            FIRST, K[4], K[5]).announcements, "not of the key that was in force"),
        (KeyChain(b"meter 2", public(K[0])).succeeded(FIRST, K[0], K[1]).announcements,
         "of another meter"),
    ],
)  # fmt: skip
def test_a_chain_that_skips_reorders_repeats_or_mixes_is_none(
    announcements: tuple[object, ...], why: str
) -> None:
    with pytest.raises(ChainRefused, match=why):
        KeyChain(METER, public(K[0]), announcements)  # type: ignore[arg-type]  # announcements


def test_a_key_does_not_go_back_in_time_nor_come_back() -> None:
    with pytest.raises(ChainRefused, match="begins before"):
        chain(FIRST, FIRST - DAY)
    with pytest.raises(ChainRefused, match="brings back a key that has ended"):
        chain(FIRST).succeeded(FIRST + DAY, K[1], K[0])
    with pytest.raises(MalformedAnnouncement, match="does not succeed itself"):
        chain().succeeded(FIRST, K[0], K[0])


def test_one_signature_is_not_enough() -> None:
    said = replace(GOOD.announcements[0], by_new=bytes(64))
    with pytest.raises(ChainRefused, match="the new key has not signed"):
        KeyChain(METER, public(K[0]), (said,))
    said = GOOD.announcements[0].signed(K[5], K[1])
    with pytest.raises(ChainRefused, match="the old key has not signed"):
        KeyChain(METER, public(K[0]), (said,))


def test_an_old_copy_of_the_key_file_signs_nothing(rotated: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    shutil.copytree(rotated, folder)
    shutil.copy(rotated.parent / "first.key", folder / "keys" / "certifier.key")
    with pytest.raises(KeyFileError, match="not the key that the hub has announced last"):
        opened(folder)


def test_a_hub_put_back_without_its_announcements_certifies_nothing(
    rotated: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "hub"
    shutil.copytree(rotated, folder)
    shutil.copy(rotated.parent / "first.key", folder / "keys" / "certifier.key")
    with sqlite3.connect(folder / "hub.db") as connection:
        connection.execute("DROP TRIGGER announcement_is_never_deleted")
        connection.execute("DELETE FROM key_announcement")
    connection.close()
    with opened(folder) as device, pytest.raises(ForeignDays, match="with a later key"):
        device.certify()


def test_a_new_key_begins_where_the_old_one_ends(tmp_path: Path) -> None:
    with make_hub(tmp_path / "hub", FIRST, FIRST) as device:
        announced = device.rotate_certifier_key()
        assert announced.first_day == FIRST + DAY
    with opened(tmp_path / "hub") as device:
        certifier, previous = (
            device.main.certifier,
            device.main.certifications(Period(FIRST, FIRST)),
        )
        with pytest.raises(OutOfOrder, match="signs from 2025-03-02 on"):
            certifier.certify(FIRST, [], None)
        assert len(previous) == 1
        second = device.rotate_certifier_key()  # before it has signed anything
        assert second.first_day == announced.first_day
    with opened(tmp_path / "hub", 60) as device:
        fill(device, FIRST + DAY, FIRST + DAY)
        verify(device, days_of(device))


def test_a_hub_without_days_may_have_another_key_from_the_start(tmp_path: Path) -> None:
    description = Description(b"meter", (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: NOW) as device:
        assert device.rotate_certifier_key().first_day == EARLIEST
    with Device.open(tmp_path / "hub", now=lambda: NOW) as device:
        fill(device, FIRST, FIRST)
        verify(device, days_of(device))


def test_a_register_that_is_behind_keeps_the_key_that_its_days_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_hub(tmp_path / "hub", FIRST, FIRST, fed_in=True) as device:
        monkeypatch.setattr(Device, "certify", lambda self: 0)
        fed_in = device.feed_in
        assert fed_in is not None
        monkeypatch.setattr(type(fed_in.journal), "span", lambda self: (
            None if self.channel == fed_in.channel else (FIRST, FIRST, 1)
        ))  # fmt: skip
        with pytest.raises(DeviceError, match="certified up to different days"):
            device.rotate_certifier_key()
    assert not list((tmp_path / "hub" / "keys").glob("*.next"))


def test_a_rotation_that_is_cut_off_has_happened_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hub"
    make_hub(folder, FIRST, FIRST).close()
    before = (folder / "keys" / "certifier.key").read_bytes()

    class PowerCut(BaseException):
        pass

    def cut(*_: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patch, opened(folder, 1) as device:
        patch.setattr("hub.disclosure.log.DisclosureLog.append", cut)  # before the commit
        with pytest.raises(PowerCut):
            device.rotate_certifier_key()
    with opened(folder, 2) as device:
        assert not device.main.certifier.keys.announcements
    assert (folder / "keys" / "certifier.key").read_bytes() == before
    with monkeypatch.context() as patch, opened(folder, 3) as device:
        patch.setattr("hub.device.put_in_force", cut)  # after it
        with pytest.raises(PowerCut):
            device.rotate_certifier_key()
    assert (folder / "keys" / "certifier.key").read_bytes() == before
    with opened(folder, 4) as device:
        assert len(device.main.certifier.keys.announcements) == 1
        fill(device, FIRST + DAY, FIRST + DAY)
        verify(device, days_of(device))
    assert not list((folder / "keys").glob("*.next"))
