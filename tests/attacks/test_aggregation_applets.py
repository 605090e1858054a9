# SPDX-License-Identifier: Apache-2.0
"""An aggregation applet that fails on purpose, to take back what it was told."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from applets.aggregation.messages import CLA, Instruction, StepRequest
from hub.applet_host import RoundRecord
from hub.installer import build_package
from hub.machine.machine import AppletMachine
from protocols.aggregation.collector import Collector
from protocols.aggregation.messages import Contribution, Contributors
from protocols.aggregation.round import Round
from protocols.iso7816.apdu import CommandApdu
from tests.support.aggregation import COLLECTOR
from tests.support.hubs import ROOT, VENDOR, Hub, announce, call_of, make_hub, package

EVIL = b"\xff" * 16
"""The nonce at which the applet fails, once it has what it asked the platform for."""
PATCH = """
        if request.nonce == bytes([255]) * 16:
            raise AppletError(StatusWord.WRONG_DATA if content[-1] % 2 else StatusWord.WRONG_LENGTH)
"""
FAILED = 0x6400
NOT_ALLOWED = 0x6982


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    root = tmp_path_factory.mktemp("hostile")
    folder = root / "applets" / "aggregation"
    shutil.copytree(ROOT / "applets" / "aggregation", folder)
    (root / "applets" / "__init__.py").touch()
    applet = folder / "applet.py"
    line = "        content = self._take(step, request.parts)\n"
    assert line in applet.read_text()
    applet.write_text(applet.read_text().replace(line, line + PATCH))
    return build_package(folder, VENDOR, [root, ROOT])


@pytest.fixture
def hubs(tmp_path: Path, machine: AppletMachine, hostile: bytes) -> Iterator[list[Hub]]:
    honest = package()
    made = [
        make_hub(tmp_path / str(number), number, machine, honest if number else hostile)
        for number in range(6)
    ]
    yield made
    for hub in made:
        hub.device.close()


def fail(hub: Hub, step: Instruction, *parts: bytes) -> int:
    """Let the applet take a step and fail; return the status word."""
    hub.take(Instruction.TELL_KEYS, call_of(bytes(32)))  # opens the channel
    assert hub.channel is not None
    data = StepRequest(hub.meter, EVIL, step, parts).encode()
    response = hub.channel.send(CommandApdu(CLA, step, 0, 0, data, le=65_536, extended=True))
    assert response.data == b""
    return response.sw


def contribute(announced: Round, hubs: Sequence[Hub]) -> dict[int, Contribution]:
    """Return the hubs' contributions by their places."""
    made = [
        Contribution.decode(hub.take(Instruction.CONTRIBUTE, announced.encode())) for hub in hubs
    ]
    return {one.index: one for one in made}


def status(hub: Hub, step: Instruction, *parts: bytes) -> int:
    _, response = hub.send(step, *parts)
    return response.sw


def test_an_agreement_that_is_taken_back_binds(hubs: list[Hub]) -> None:
    """Else it could tell two of them bit by bit, by how its commands fail."""
    victim = hubs[0]
    announced = announce(hubs, bytes(32))
    contributions = contribute(announced, hubs)
    left_out = next(i for i in contributions if i != announced.index_of(victim.meter))
    first = Contributors.of(announced.digest, contributions).signed(COLLECTOR)
    second = first.among(set(contributions) - {left_out}).signed(COLLECTOR)
    assert fail(victim, Instruction.AGREE, first.encode()) == FAILED
    assert status(victim, Instruction.AGREE, second.encode()) == NOT_ALLOWED
    assert status(victim, Instruction.AGREE, first.encode()) == 0x9000


def test_an_opening_that_is_taken_back_is_on_record_and_bars_other_sums(hubs: list[Hub]) -> None:
    victim = hubs[0]
    announced = announce(hubs, bytes(32))
    collector = Collector(announced, COLLECTOR)
    for hub in hubs:
        collector.contribute(hub.take(Instruction.CONTRIBUTE, announced.encode()))
    contributors = collector.close().encode()
    for hub in hubs:
        collector.agree(hub.take(Instruction.AGREE, contributors))
    signatures = b"".join(collector.agreements)
    assert fail(victim, Instruction.OPEN, contributors, signatures) == FAILED
    [entry] = victim.device.disclosure.log.entries("aggregate")
    assert entry.facts["group"] == 6
    again = announce(hubs[:5], b"2" * 32)
    fewer = Contributors.of(again.digest, contribute(again, hubs[:5])).signed(COLLECTOR)
    assert status(victim, Instruction.AGREE, fewer.encode()) == NOT_ALLOWED
    victim.device.disclosure.log.verify()


def test_a_contribution_that_is_taken_back_is_the_same_the_next_time(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32)).encode()
    assert fail(hubs[0], Instruction.CONTRIBUTE, announced) == FAILED
    record = RoundRecord(hubs[0].device.database)
    kept = record.find(Round.decode(announced).digest, hubs[0].enrolment.applet)
    assert kept is not None
    assert hubs[0].take(Instruction.CONTRIBUTE, announced) == kept.contribution
