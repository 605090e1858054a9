# SPDX-License-Identifier: Apache-2.0
"""Raw applets that try to say more than their outputs: what recipients see stays the same.

Each attack has a secret, a day's use, which it tries to tell by other means than its output's
value. A recipient asks all the time and notes everything: how long each answer is, and when it
changes. What it notes must be the same whatever the secret is.
"""

from pathlib import Path
from typing import Final

import pytest

from hub.machine.errors import AppletFault
from hub.machine.machine import AppletMachine
from hub.machine.manifest import Manifest
from hub.machine.raw import OUTPUT_COMPONENT, OutputBoard, RawApplet, Released
from hub.vault.database import Database
from protocols.platform.services import Platform, Use
from tests.support.applet_machine import RAW_MANIFEST, REGISTER, Device, bundle

DAY: Final = 86_400
MIDNIGHT: Final = 19_800 * DAY
POLL: Final = 3_600
LIMITS: Final = "fuel = 50_000_000\nfuel_per_minute = 1_000_000_000_000"
MANIFEST: Final = Manifest.from_toml(RAW_MANIFEST.format(limits=LIMITS))
AID: Final = MANIFEST.aid
SECRETS: Final = (0, 1, 5_000)

SPIES: Final = {
    "how long it computes": "for _ in range(secret * 100): pass",
    "for ever or not": "while secret: pass",
    "whether it breaks": "1 // (secret == 0)",
    "whether it traps": "__import__('datetime').datetime.now() if secret else None",
    "how it breaks": "raise [ValueError, KeyError, MemoryError][min(secret, 2)]",
    "how much memory it takes": "Sample.hoard = bytes(secret * 4_000)",
    "how often it sets": "for _ in range(secret): self.platform.outputs.set('hours', bytes(4))",
    "that it sets too much": "self.platform.outputs.set('hours', bytes(4 + secret))",
    "that it sets another": "self.platform.outputs.set('h' * secret, bytes(4))",
    "how much it keeps": "self.platform.store.put(b'x', bytes(min(secret * 9, 60_000)))",
    "how much it logs": "print('x' * secret)",
    "what it would answer": "Sample.answer = bytes(secret % 200)",
}


def body(spy: str) -> str:
    return f"""
answer = b""
def update(self):
    self.platform.outputs.set("hours", b"same")
    end = self.platform.clock.now()
    use = self.platform.readings.read("{REGISTER}", end - {DAY}, end)
    secret = use.watt_hours[0]
    {spy}

def select(self): return self.answer
def process(self, command): return Response(self.answer, 0x6300 + len(self.answer))
"""


class House:
    """Used so much in every slot."""

    def __init__(self, secret: int) -> None:
        self.secret = secret

    def read(self, _register: str, begin: int, end: int) -> Use:
        starts = tuple(range(begin, end, 900))
        return Use(starts, (self.secret,) * len(starts), bytes(len(starts)))


def recipient_notes(
    machine: AppletMachine, tmp_path: Path, spy: str, secret: int
) -> tuple[list[tuple[int, bytes]], list[Released]]:
    """Return what a recipient notes in five days, and what the ledger has counted."""
    device, ledger, faults = Device(), list[Released](), list[AppletFault]()
    with Database(tmp_path / f"{secret}.db", [OUTPUT_COMPONENT], key=bytes(32)) as database:
        board = OutputBoard(database, AID, MANIFEST, ledger.append)
        board.install(MIDNIGHT)
        good = device.platform
        platform = Platform(
            good.statements,
            good.calendar,
            good.store,
            device.clock,
            good.signatures,
            good.log,
            House(secret),
            board,
        )
        made = bundle(body(spy), manifest=RAW_MANIFEST, limits=LIMITS)
        raw = RawApplet(machine.instance(made, platform), board, database, faults.append)
        notes = []
        for time in range(MIDNIGHT + 60, MIDNIGHT + 5 * DAY, POLL):
            device.clock.time = time
            raw.tick(time)
            notes.append((time, board.answer(b"\x80\xca\x00\x00")))
            notes.append((time, board.answer(b"\x80\xca\x00\x01")))
            notes.append((time, board.answer(b"\x80\x10\x00\x00")))
    return notes, ledger


@pytest.mark.parametrize("spy", SPIES)
def test_nothing_but_the_value_tells_the_secret(
    machine: AppletMachine, tmp_path: Path, spy: str
) -> None:
    views = [recipient_notes(machine, tmp_path, SPIES[spy], secret) for secret in SECRETS]
    notes = [[(time, len(answer)) for time, answer in view] for view, _ in views]
    assert notes[0] == notes[1] == notes[2]
    assert [len(ledger) for _, ledger in views] == [4, 4, 4]
    # A command that breaks keeps nothing: so "broke" and "did not" are two values of the output,
    # which is counted at 32 bits a release. That nothing was ever set is one value more, until the
    # first time: in all releases together less than a bit.
    values = [{release.value for release in ledger} for _, ledger in views]
    assert all(found <= {b"same", bytes(4), b""} for found in values)


def test_the_value_itself_is_what_is_counted(machine: AppletMachine, tmp_path: Path) -> None:
    tell = "self.platform.outputs.set('hours', secret.to_bytes(4, 'big'))"
    for secret in SECRETS:
        _, ledger = recipient_notes(machine, tmp_path, tell, secret)
        assert [release.value for release in ledger] == [secret.to_bytes(4, "big")] * 4
        assert sum(8 * release.output.size for release in ledger) == 4 * 32


def test_a_raw_applet_has_no_statements_and_a_statement_applet_no_readings(
    machine: AppletMachine, tmp_path: Path
) -> None:
    ask = f"self.platform.statements.open_amounts('{REGISTER}', 0, 40 * {DAY}, amounts(1), b'')"
    notes, _ = recipient_notes(machine, tmp_path, ask, 1)
    assert notes  # it broke, every day, and nobody has noticed
    statement = machine.instance(
        bundle(f"def process(self, c): self.platform.readings.read('{REGISTER}', 0, 900)"),
        Device().platform,
    )
    assert statement.process(b"\x80\x00\x00\x00") == b"\x69\x82"
