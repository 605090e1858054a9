# SPDX-License-Identifier: Apache-2.0
"""The whole folder of a hub put back, keys included: its guard has forgotten what was told.

Nothing in the folder can show that. The recipient can: it has kept the head of the hub's log.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from hub.card.open import Card
from hub.device import Device
from hub.disclosure.countersigned import HeadDesk
from hub.machine.machine import AppletMachine
from meterlet.commands.main import main
from protocols.certified_span import P1_DAYS
from protocols.iso7816.apdu import CommandApdu
from protocols.log_head import (
    MOST_LEAVES,
    P1_KEEP,
    P1_SHOW,
    Countersigned,
    LogHead,
    LogHeadError,
    ShownHead,
)
from tests.support.patient import NOW, PatientHome, patient_home
from utility_server.errors import HubPutBack
from utility_server.head_end import Address, HeadEnd
from utility_server.hub_conversation import log_command
from utility_server.retail.utility import Utility

HERE = Address("127.0.0.1", 1)
LOOK, LEARN = 2, 1


@dataclass(slots=True)
class HeadEndAtHome(HeadEnd):
    """A head end whose line is the card of a hub in this process."""

    card: Card | None = None

    @contextmanager
    def _connection(self, address: Address) -> Iterator[Callable[[bytes], bytes]]:
        assert self.card is not None
        yield self.card.connect().transmit


@dataclass(slots=True)
class Case:
    home: PatientHome
    utility: Utility
    machine: AppletMachine

    def ask(self, ins: int = LOOK, device: Device | None = None) -> bytes:
        card = self.home.card if device is None else device.card(self.machine)
        head_end = HeadEndAtHome(self.utility.randomness, heads=self.utility.hub_logs, card=card)
        return head_end.ask(HERE, self.home.enrolment, self.home.question(ins))

    def copy(self, name: str) -> Path:
        """Put a copy of the hub's folder away, and open the hub again."""
        where = self.home.device.folder
        self.home.device.close()
        shutil.copytree(where, where.parent / name)
        self.home.device = Device.open(where, now=lambda: NOW)
        self.home.card = self.home.device.card(self.machine)
        return where.parent / name

    @property
    def kept(self) -> LogHead | None:
        return self.utility.hub_logs.find(self.home.enrolment.meter)


@pytest.fixture
def case(tmp_path: Path, machine: AppletMachine) -> Iterator[Case]:
    with (
        patient_home(tmp_path, machine) as home,
        Utility.create(tmp_path / "utility", now=lambda: NOW) as utility,
    ):
        utility.customers.enrol(home.enrolment.encode())
        yield Case(home, utility, machine)
        home.device.close()


def test_a_folder_that_is_put_back_is_found_by_the_next_question(case: Case) -> None:
    case.ask()
    older = case.copy("older")
    case.ask(LEARN)
    newest = case.kept
    assert newest == case.home.device.disclosure.log.head()
    with Device.open(older, now=lambda: NOW) as device:
        before = device.disclosure.log.length()
        # The consent was for one answer, and this hub does not know that it was given.
        with pytest.raises(HubPutBack, match="put back to an older state.*accept-log --meter"):
            case.ask(LEARN, device)
        assert device.disclosure.log.length() == before  # it was not even asked
        assert case.kept == newest
    case.ask()  # the hub itself is asked as before


def test_a_folder_that_is_put_back_right_after_the_answer_is_found_too(case: Case) -> None:
    """It shows all that the recipient had kept before that answer."""
    case.ask()
    older = case.copy("older")
    case.ask(LEARN)
    with Device.open(older, now=lambda: NOW) as device:
        # Let it be as long as the other one is now, or longer.
        for length in range(8):
            device.disclosure.record_connection("127.0.0.1", length, length)
            with pytest.raises(HubPutBack):
                case.ask(LEARN, device)


def test_a_hub_that_does_not_show_its_log_any_more_is_refused(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.ask()
    monkeypatch.setattr(HeadDesk, "is_meant", staticmethod(lambda _command: False))
    # The applet answers in the platform's place, as in release 0.1.
    with pytest.raises(HubPutBack):
        case.ask()


def test_the_operator_accepts_a_log_by_name(case: Case) -> None:
    case.ask()
    older = case.copy("older")
    case.ask(LEARN)
    meter = case.home.enrolment.meter.hex()
    accept = ["utility", "accept-log", "--utility", str(case.utility.folder), "--meter"]
    done = CliRunner().invoke(main, [*accept, "00"])
    assert (done.exit_code, "not enrolled" in done.stderr) == (1, True)
    done = CliRunner().invoke(main, [*accept, meter, "--json"])
    assert done.exit_code == 0, done.output
    with Device.open(older, now=lambda: NOW) as device:
        case.ask(LOOK, device)
        assert case.kept == device.disclosure.log.head()


def test_what_the_recipient_has_seen_it_has_signed(case: Case) -> None:
    case.ask(LEARN)
    device, key, meter = case.home.device, case.utility.keys.public, case.home.enrolment.meter
    [kept] = HeadDesk(device.disclosure.log).kept()
    assert (kept.recipient, kept.countersigned.head) == ("supplier", case.kept)
    kept.countersigned.verify(key, meter)
    with pytest.raises(LogHeadError, match="not signed with this key"):
        kept.countersigned.verify(key, b"\x01")
    case.ask()
    [later] = HeadDesk(device.disclosure.log).kept()
    assert later.countersigned.head.length > kept.countersigned.head.length
    # An older one does not take its place.
    older = log_command(P1_KEEP, kept.countersigned.encode())
    assert case.home.client().send(older).sw == 0x9000
    assert HeadDesk(device.disclosure.log).kept() == [later]


def test_the_head_tells_nothing_but_its_length_and_is_told_to_the_recipient_alone(
    case: Case,
) -> None:
    """Leaves are salted: who knows all of an entry but one byte cannot find that byte."""
    show = log_command(P1_SHOW, (0).to_bytes(8, "big"))
    client = case.home.client()
    shown = ShownHead.decode(client.send(show).data)
    entries = list(case.home.device.disclosure.log.entries())
    assert len(shown.leaves) == len(entries) == shown.head.length
    case.home.device.disclosure.grant(case.home.device.disclosure.consents()[0].terms)
    with Device.open(case.copy("twin"), now=lambda: NOW) as twin:
        leaves = twin.disclosure.log.leaves(0)
    assert leaves[: len(entries)] == list(shown.leaves)
    # Without a channel the applet is asked nothing, and nor is the platform.
    stranger = case.home.card.connect()
    select = CommandApdu(0, 0xA4, 4, 0, case.home.enrolment.applet, le=256)
    stranger.transmit(select.encode())
    assert len(stranger.transmit(show.encode())) == 2


@pytest.mark.parametrize(
    ("p1", "data", "sw"),
    [
        (P1_SHOW, b"\0", 0x6A80),
        (P1_SHOW, bytes(9), 0x6A80),
        (P1_KEEP, b"", 0x6A80),
        (P1_KEEP, (1 << 40).to_bytes(8, "big") + bytes(104), 0x6A80),
        (P1_KEEP, b"\xff" * 112, 0x6A80),
        (P1_DAYS, b"", 0x6A88),
        (P1_DAYS, bytes(6), 0x6A88),
        (3, b"", 0x6A86),
    ],
)
def test_a_recipient_cannot_confuse_the_platform(case: Case, p1: int, data: bytes, sw: int) -> None:
    before = case.home.device.disclosure.log.length()
    assert case.home.client().send(log_command(p1, data)).sw == sw
    assert case.home.device.disclosure.log.length() == before
    assert HeadDesk(case.home.device.disclosure.log).kept() == []


def test_lengths_beyond_the_log_get_its_head_and_nothing_else(case: Case) -> None:
    for length in (case.home.device.disclosure.log.length(), 1 << 40, (1 << 64) - 1):
        data = case.home.client().send(log_command(P1_SHOW, length.to_bytes(8, "big"))).data
        assert ShownHead.decode(data).leaves == ()


START = LogHead(0, bytes(32))


def leaves(count: int) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(count)]


def test_a_log_that_has_grown_by_thousands_is_followed_in_several_answers() -> None:
    every = leaves(2 * MOST_LEAVES + 5)
    head, kept, answers = START.followed_by(every), START, 0
    while kept != head:
        shown = ShownHead(head, tuple(every[kept.length : kept.length + MOST_LEAVES]))
        kept, answers = ShownHead.decode(shown.encode()).after(kept), answers + 1
    assert answers == 3


@pytest.mark.parametrize(
    "shown",
    [
        ShownHead(START.followed_by(leaves(4)), ()),  # shorter
        ShownHead(START.followed_by(leaves(6)[::-1]), tuple(leaves(6)[5:])),  # another
        ShownHead(START.followed_by([*leaves(4), bytes(32)]), ()),  # as long, another
        ShownHead(START.followed_by(leaves(6)), ()),  # does not say how
        ShownHead(START.followed_by(leaves(7)), tuple(leaves(7)[6:])),
        ShownHead(START.followed_by(leaves(6)), tuple(leaves(7)[5:])),  # more than there are
        ShownHead(START.followed_by(leaves(6)), tuple(leaves(5)[4:])),
    ],
)
def test_what_does_not_follow_is_refused(shown: ShownHead) -> None:
    kept = START.followed_by(leaves(5))
    with pytest.raises(LogHeadError):
        ShownHead.decode(shown.encode()).after(kept)


@pytest.mark.parametrize("data", [b"", bytes(39), bytes(41), bytes(71), b"\xff" * 40])
def test_bytes_that_are_no_head_are_refused(data: bytes) -> None:
    with pytest.raises(LogHeadError):
        ShownHead.decode(data)
    with pytest.raises(LogHeadError):
        Countersigned.decode(data)


def test_a_kept_head_never_goes_back(case: Case) -> None:
    meter, logs = case.home.enrolment.meter, case.utility.hub_logs
    for length in (5, 9, 7):
        logs.keep(meter, START.followed_by(leaves(length)))
    assert logs.find(meter) == START.followed_by(leaves(9))
