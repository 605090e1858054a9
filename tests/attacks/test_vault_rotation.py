# SPDX-License-Identifier: Apache-2.0
"""A vault's key that changes: cut off at any moment, tampered with, or used after its time."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import date
from itertools import count
from pathlib import Path

import pytest

from hub.applet_host import Participation, RoundRecord
from hub.card.open import Card
from hub.card.resealing import CARD_KEYS
from hub.certifier import NewStep
from hub.components import RESEAL, SEALED
from hub.device import Device, RoundsUnderWay
from hub.readings import Reading, Readout
from hub.vault import key_file, resealing
from hub.vault.resealing import CORRECTED_DAYS, CORRECTIONS, FACTS
from hub.vault.vault import KeyReplaced, VaultTampered
from protocols.aggregation.rosters import Roster
from protocols.metrology import DayGrid, Period, RegisterResolution, verify_days
from tests.support.rotating import NOW, Dice, fill, make_hub
from utility_server.database import open_database, writing
from utility_server.errors import VerificationFailed
from utility_server.retail.chains import extend_chains

FIRST, LAST = date(2025, 3, 1), date(2025, 3, 3)
KILLED = 77


class NoApplets:
    """A card without applets needs nothing of a runtime here."""

    def reset(self, connection: int) -> None:
        """Forget nothing."""


def card_of(device: Device) -> Card:
    """Return the hub's card, made with keys of its own if there is none yet."""
    options = {"storage_key": device._vault_key, "random": Dice(), "runtime": NoApplets()}
    if Card.exists(device.database):
        return Card(device.database, **options)  # type: ignore[arg-type]  # a double
    return Card.create(device.database, keys=device.issuer_keys(), **options)  # type: ignore[arg-type]  # a double


def everything(device: Device) -> tuple[object, ...]:
    """Return all that the vault's key opens."""
    card, main = card_of(device), device.main
    issuer = card.registry.issuer().aid
    return (
        list(main.vault.between(main.channel, 0, 1 << 40)),
        main.journal.between(FIRST, LAST),
        card.keys.all(issuer),
    )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rotation") / "hub"
    with make_hub(folder, FIRST, LAST) as device:
        card_of(device)
    return folder


def copy_of(template: Path, folder: Path) -> Path:
    shutil.copytree(template, folder)
    return folder


def opened(folder: Path) -> Device:
    return Device.open(folder, randomness=Dice(1 << 20), now=lambda: NOW)


def triggers(device: Device) -> set[str]:
    rows = device.database.connection.execute("SELECT name FROM sqlite_schema WHERE type='trigger'")
    return {name for (name,) in rows}


def killed_at(step: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Rotate in a process of its own that dies at its so manieth step; tell whether it did."""
    child = os.fork()
    if child == 0:
        steps = count()

        def stepping(call: Callable[..., object]) -> Callable[..., object]:
            def before_and_after(*arguments: object, **named: object) -> object:
                if next(steps) == step:
                    os._exit(KILLED)
                result = call(*arguments, **named)
                if next(steps) == step:
                    os._exit(KILLED)
                return result

            return before_and_after

        try:
            for module, name in (
                (resealing, "write_secret"), (resealing, "resealed_use"),
                (resealing, "check_value_of"), (resealing, "put_in_force"), (Path, "replace"),
            ):  # fmt: skip
                monkeypatch.setattr(module, name, stepping(getattr(module, name)))
            device = opened(folder)
            device.rotate_vault_key(stepping(lambda done, total: None))  # type: ignore[arg-type]  # any arguments
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a forked test must not go on as pytest
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED)
    return code == KILLED


def test_a_rotation_killed_at_any_step_leaves_a_hub_that_opens(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(template) as device:
        before, guards = everything(device), triggers(device)
        old = device._vault_key
    outcomes = set()
    for step in count():
        folder = copy_of(template, tmp_path / f"hub-{step}")
        killed = killed_at(step, folder, monkeypatch)
        with opened(folder) as device:
            assert everything(device) == before
            assert triggers(device) == guards
            outcomes.add((killed, device._vault_key == old))
            device.rotate_vault_key()  # and what was cut off stands in no one's way
        with opened(folder) as device:
            assert everything(device) == before
            assert not key_file.next_key_file(folder / "keys" / "vault.key").exists()
        if not killed:
            break
    assert outcomes == {(True, True), (True, False), (False, False)}
    assert step > 15


def test_after_a_rotation_the_old_key_opens_nothing(template: Path, tmp_path: Path) -> None:
    folder = copy_of(template, tmp_path / "hub")
    old = (folder / "keys" / "vault.key").read_bytes()
    with opened(folder) as device:
        before = everything(device)
        seen: list[tuple[int, int]] = []
        device.rotate_vault_key(lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1] > 288
    with opened(folder) as device:
        assert everything(device) == before
        assert [e.facts["key"] for e in device.disclosure.log.entries("new key")] == ["vault"]
    (folder / "keys" / "vault.key").write_bytes(old)
    with pytest.raises(VaultTampered, match="sealed with another key"):
        opened(folder)


def test_whoever_still_has_the_old_key_writes_nothing_and_is_told_why(
    template: Path, tmp_path: Path
) -> None:
    folder = copy_of(template, tmp_path / "hub")
    with opened(folder) as late:
        days = late.main.journal.span()
        with opened(folder) as device:
            device.rotate_vault_key()
        with pytest.raises(KeyReplaced, match="start this command again"):
            fill(late, date(2025, 3, 4), date(2025, 3, 4))
        with pytest.raises(KeyReplaced):
            list(late.main.vault.between(late.main.channel, 0, 1 << 40))
        with pytest.raises(KeyReplaced):
            late.main.journal.between(FIRST, LAST)
        with pytest.raises(KeyReplaced):
            late.rotate_vault_key()
    with opened(folder) as device:
        assert device.main.journal.span() == days
        fill(device, date(2025, 3, 4), date(2025, 3, 4))
        assert len(device.main.journal.between(FIRST, date(2025, 3, 4))) == 4


@pytest.mark.parametrize("table", ["reading", "certified_day", "card_key"])
def test_a_changed_row_is_not_sealed_again_as_if_it_were_right(
    template: Path, tmp_path: Path, table: str
) -> None:
    folder = copy_of(template, tmp_path / "hub")
    with sqlite3.connect(folder / "hub.db") as connection:
        connection.execute("DROP TRIGGER reading_is_never_changed")
        connection.execute("DROP TRIGGER day_is_never_changed")
        row, sealed = connection.execute(f"SELECT max(rowid), sealed FROM {table}").fetchone()
        changed = sealed[:20] + bytes([sealed[20] ^ 1]) + sealed[21:]
        connection.execute(f"UPDATE {table} SET sealed = ? WHERE rowid = ?", (changed, row))
        connection.execute("CREATE TRIGGER reading_is_never_changed BEFORE UPDATE ON reading BEGIN"
                           " SELECT RAISE(ABORT, 'x'); END")  # fmt: skip
        connection.execute("CREATE TRIGGER day_is_never_changed BEFORE UPDATE ON certified_day"
                           " BEGIN SELECT RAISE(ABORT, 'x'); END")  # fmt: skip
    connection.close()
    old = (folder / "keys" / "vault.key").read_bytes()
    with opened(folder) as device:
        with pytest.raises(VaultTampered):
            device.rotate_vault_key()
        assert triggers(device) >= {"reading_is_never_changed", "day_is_never_changed"}
        assert not list(device.disclosure.log.entries("new key"))
    assert [(path.name, path.read_bytes()) for path in (folder / "keys").glob("vault*")] == [
        ("vault.key", old)
    ]


def test_a_key_that_somebody_laid_beside_is_never_used(template: Path, tmp_path: Path) -> None:
    folder = copy_of(template, tmp_path / "hub")
    planted = folder / "keys" / "vault.key.next"
    planted.write_bytes(bytes(32))
    planted.chmod(0o600)
    with opened(folder) as device:
        assert device._vault_key != bytes(32)
        device.rotate_vault_key()
    with opened(folder) as device:
        assert device._vault_key != bytes(32)


def test_a_round_under_way_keeps_its_keys(template: Path, tmp_path: Path) -> None:
    folder = copy_of(template, tmp_path / "hub")
    with opened(folder) as device:
        part = Participation(bytes(32), b"applet", b"announced", b"contribution", None, False)
        RoundRecord(device.database).add(part, NOW + 60, Roster((b"member",)))
        with pytest.raises(RoundsUnderWay, match="under way until .*--abandon-rounds"):
            device.rotate_vault_key()
        device.rotate_vault_key(abandon_rounds=True)


def test_the_rotation_covers_whatever_the_card_seals() -> None:
    """A new secret of the card's has to be added to `hub.card.resealing`."""
    root = Path(__file__).parents[2] / "hub"
    sealing = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if "seal_secret(" in path.read_text() or "AESGCM(" in path.read_text()
    }
    assert sealing == {
        "card/commands/issued_keys.py",
        "card/commands/pin.py",
        "card/keys/keystore.py",
        "card/resealing.py",
        "inspection/views/bucket_cache.py",  # made again: its key is made from the vault's
        "vault/days.py",
        "vault/resealing.py",
        "vault/vault.py",
    }
    assert {CARD_KEYS, FACTS} <= set(SEALED)
    derived = {
        f"hub.{'.'.join(path.relative_to(root).with_suffix('').parts)}"
        for path in root.rglob("*.py")
        if ".sealer(" in path.read_text()
    }
    assert derived == {reseal.__module__ for reseal in RESEAL}
    assert {CORRECTIONS, CORRECTED_DAYS} <= set(SEALED)
    assert len(SEALED) == 7 + len(RESEAL)


def test_what_is_recorded_of_the_meter_is_sealed_with_the_new_key(tmp_path: Path) -> None:
    folder, begin = tmp_path / "hub", DayGrid(date(2025, 3, 4), "Europe/Berlin", 15).begin
    with make_hub(folder) as device:
        device.main.record(NewStep(begin + 3600, 10))
        device.rotate_vault_key()
    with Device.open(folder, randomness=Dice(60 << 20), now=lambda: NOW) as device:
        fill(device, date(2025, 3, 4), date(2025, 3, 4))
        [done] = device.main.certifications(Period(date(2025, 3, 4), date(2025, 3, 4)))
        assert done.day.content.events == (RegisterResolution(4, 10),)  # type: ignore[union-attr]


def test_corrections_are_sealed_with_the_new_key_and_signed_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "hub"

    def lower(device: Device, place: int) -> None:
        main = device.main
        known = list(main.vault.between(main.channel, 0, 1 << 40))[place]
        [other] = list(main.vault.between(main.channel, known.time - 1, known.time))[:1]
        reading = Reading(known.time, other.register_wh)
        device.correct([Readout({main.channel.register: reading})], may_replace=True)

    with make_hub(folder, FIRST, LAST) as device:
        lower(device, 40)
        before = device.main.journal.between(FIRST, LAST)
        assert [one.revision for one in before] == [1, 0, 0]
        device.rotate_vault_key()
    with opened(folder) as device:
        assert device.main.journal.between(FIRST, LAST) == before
        device.rotate_certifier_key()
    with opened(folder) as device:
        lower(device, 140)
        days = device.main.certifications(Period(FIRST, LAST))
        keys = device.main.certifier.keys
        assert [len(one.day.announcements) for one in days] == [0, 1, 0]
        verify_days(
            [one.day for one in days], Period(FIRST, LAST), device.main.certifier.series,
            keys.public_key,
        )  # fmt: skip
        stated = device.main.statement_days(Period(FIRST, LAST))
        assert [len(one.day.announcements) for one in stated] == [1, 1, 0]
        assert [one.day.digest for one in stated] == [one.day.digest for one in days]
        engine = open_database(tmp_path / "utility.db")
        with (
            pytest.raises(VerificationFailed, match="corrected with a key that has ended"),
            writing(engine) as connection,
        ):
            extend_chains(connection, [one.day for one in days])
        with writing(engine) as connection:
            extend_chains(connection, [one.day for one in stated])
        engine.dispose()
