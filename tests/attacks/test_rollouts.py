# SPDX-License-Identifier: Apache-2.0
"""Roll-outs under attack: what a hub says is its own word about itself, and no more.

The promise: a hub counts as done by what its own card has said in its own channel, and by nothing
that cannot be. Another's answers, or ones made up, are no answers. A package of another vendor, or
an old one, comes into no place. Whatever one hub says, nothing is told to another because of it but
that the roll-out goes on or stops.
"""

from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.card.line import Line
from hub.machine.machine import AppletMachine
from protocols.iso7816.apdu import ResponseApdu
from protocols.iso7816.tlv import Tlv, encode_lv
from protocols.secure_channel.errors import RemoteChannelError
from tests.support.fleet import CAT, EVERYONE, Fleet, Transmit, brought, new_fleet
from tests.support.versions import version
from utility_server.fleet.card_state import Awaits, CardState, PackageVersion, read_state
from utility_server.fleet.errands import FAILED_SECONDS
from utility_server.fleet.plans import HubState, Kind, RolloutState, Share, Waves

PACKAGE = CAT[:4] + b"\xe0" + CAT[4:]
DOMAIN = CAT[:4] + b"\xd0" + CAT[4:]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> Iterator[Fleet]:
    with new_fleet(tmp_path_factory.mktemp("attacked"), machine, 2) as fleet:
        yield fleet


def planned(town: Fleet, content: bytes, *meters: bytes) -> int:
    plan = town.rollouts.plan(
        Kind.VERSION, "cat.cap", CAT, meters or town.meters, EVERYONE, brought(content)
    )
    town.rollouts.start(plan.number)
    return plan.number


def of(town: Fleet, number: int) -> dict[bytes, HubState]:
    return {hub.meter: hub.state for hub in town.rollouts.hubs(number)}


def dialled_until_it_failed(
    town: Fleet, meter: bytes, carrying: Callable[[Transmit], Transmit]
) -> None:
    for _ in range(3):
        town.dial(meter, carrying=carrying)
        town.clock.now += FAILED_SECONDS


def test_another_hubs_answers_are_no_answers(town: Fleet) -> None:
    one, other = town.meters
    number = planned(town, version(town.home, "0.2.0"), one)
    with town.opened(other) as installer:
        dialled_until_it_failed(
            town, one, lambda _own: installer.card.connect(Line.DIALLED).transmit
        )
    assert of(town, number) == {one: HubState.FAILED}
    said = [answer.detail for answer in town.rollouts.answers(number, one)]
    assert all("channel" in one for one in said)
    assert (town.in_place(one)[0], town.in_place(other)[0]) == ("0.1", "0.1")
    town.rollouts.roll_back(number)
    town.dial_all()


def test_whoever_sits_on_the_wire_has_nothing_taken_for_installed(town: Fleet) -> None:
    """Answers that are played back, made up or changed: by whoever ends TLS, say."""
    one, _ = town.meters
    number = planned(town, version(town.home, "0.3.0"), one)
    recorded: list[bytes] = []

    def recording(transmit: Transmit) -> Transmit:
        def carry(raw: bytes) -> bytes:
            recorded.append(transmit(raw))
            return recorded[-1]

        return carry

    town.dial(one, carrying=recording)
    assert of(town, number) == {one: HubState.INSTALLED}
    town.rollouts.roll_back(number)
    town.dial_all()
    assert town.in_place(one)[0] == "0.1"
    again = planned(town, version(town.home, "0.3.0"), one)

    def playing(_transmit: Transmit) -> Transmit:
        answers = iter(recorded)
        return lambda _raw: next(answers)

    def changing(transmit: Transmit) -> Transmit:
        def carry(raw: bytes) -> bytes:
            answer = transmit(raw)
            return answer[:5] + bytes([answer[5] ^ 1]) + answer[6:] if len(answer) > 20 else answer

        return carry

    for spoiling in (playing, changing, lambda _transmit: lambda _raw: b"\x90\x00"):
        town.dial(one, carrying=spoiling)
        town.clock.now += FAILED_SECONDS
        assert HubState.INSTALLED not in of(town, again).values()
    assert town.in_place(one)[0] == "0.1"
    town.rollouts.roll_back(again)
    town.dial_all()


@pytest.mark.parametrize("own", [False, True])
def test_a_package_that_another_has_signed_or_that_is_old_comes_into_no_place(
    town: Fleet, own: bool
) -> None:
    content = (
        version(town.home, "0.1.0", {"times = 1": "times = 2"})
        if own
        else version(town.home, "0.4.0", signer=Ed25519PrivateKey.generate())
    )
    number = planned(town, content)
    town.dial_all()
    assert set(of(town, number).values()) <= {HubState.FAILED, HubState.PLANNED, HubState.BEGUN}
    assert HubState.FAILED in of(town, number).values()
    [answer] = town.rollouts.answers(number, town.meters[0])
    if own:  # the hub has another program of that version
        assert "is in place, and 0.1" in answer.detail
    else:
        assert answer.status == 0x6A80
    assert {town.in_place(meter)[0] for meter in town.meters} == {"0.1"}
    assert town.rollouts.find(number).state is RolloutState.STOPPED
    town.rollouts.roll_back(number)
    town.dial_all()


def test_one_hub_that_fails_on_purpose_stops_what_the_operator_lets_it_stop(town: Fleet) -> None:
    """A liar may say that it failed, and is counted as one hub."""
    liar, honest = town.meters
    waves = Waves(None, (), stop_at=Share(2, is_percent=False))
    package = brought(version(town.home, "0.5.0"))
    plan = town.rollouts.plan(Kind.VERSION, "cat.cap", CAT, town.meters, waves, package)
    town.rollouts.start(plan.number)
    for _ in range(5):
        town.dial(liar, carrying=lambda _transmit: lambda _raw: b"\x6a\x80")
        town.clock.now += FAILED_SECONDS
    town.dial_all()
    assert of(town, plan.number) == {liar: HubState.FAILED, honest: HubState.INSTALLED}
    assert town.rollouts.find(plan.number).state is RolloutState.DONE
    town.rollouts.roll_back(plan.number)
    town.dial_all()
    assert {town.in_place(meter)[0] for meter in town.meters} == {"0.1"}


# A card that has the keys and lies. Whoever holds the hub holds them, too.


def said(
    status: int = 0, in_place: bytes = b"\0\1old", *, package: bytes = PACKAGE, more: bytes = b"",
    privileges: bytes = b"\x80\x40\x00", **others: bytes,
) -> list[ResponseApdu]:  # fmt: skip
    """Return what a card says: `in_place` and `others` as a version's two bytes and a name."""

    def entry(tag: int, text: bytes) -> Tlv:
        digest = text[2:].ljust(32, b"\0")
        return Tlv.of(tag, [Tlv(0xCE, text[:2]), Tlv(0xC1, digest)])

    tags = {"offered": 0xE2, "previous": 0xE3, "refused": 0xE4}
    nodes = [Tlv(0x90, bytes((status,))), Tlv(0x4F, package), entry(0xE1, in_place)]
    nodes += [entry(tags[name], text) for name, text in others.items()]
    told = encode_lv(b"", Tlv.of(0xA1, nodes).encode() + more)
    listed = Tlv.of(0xE3, [Tlv(0x4F, DOMAIN), Tlv(0xC5, privileges)]).encode()
    return [ResponseApdu(told, 0x9000), ResponseApdu(listed, 0x9000)]


def named(text: bytes) -> PackageVersion:
    return PackageVersion((text[0], text[1]), text[2:].ljust(32, b"\0"))


def test_what_a_card_says_is_read_strictly() -> None:
    assert read_state(DOMAIN, PACKAGE, said()) == CardState(Awaits.NOTHING, named(b"\0\1old"))
    told = said(3, offered=b"\0\2new", privileges=b"\x80")
    state = CardState(Awaits.RESIDENT, named(b"\0\1old"), named(b"\0\2new"), is_allowed=False)
    assert read_state(DOMAIN, PACKAGE, told) == state
    whole, listed = said()
    wrong = [
        said(package=PACKAGE + b"\0"),
        said(3),  # it waits, and nothing is there
        said(0, offered=b"\0\2new"),
        said(9),
        said(more=b"\x80\x00"),
        said(privileges=b""),
        said(privileges=b"\x80\x40"),
        [whole, ResponseApdu(b"", 0x9000)],
        [whole, whole],
        [ResponseApdu(whole.data + b"\0", 0x9000), listed],
        [ResponseApdu(b"\1" + whole.data, 0x9000), listed],
        *([ResponseApdu(whole.data[:size], 0x9000), listed] for size in range(len(whole.data))),
        *([whole, ResponseApdu(listed.data[:size], 0x9000)] for size in range(len(listed.data))),
    ]
    for answers in wrong:
        with pytest.raises(RemoteChannelError):
            read_state(DOMAIN, PACKAGE, answers)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (said(), said()),  # it has taken the version, and nothing has changed
        (said(), said(in_place=b"\0\1other")),
        (said(), said(in_place=b"\0\2old")),  # the number, and not what it is the number of
        (said(), said(in_place=b"\0\3new")),
        (said(), said(3, offered=b"\0\2other")),
        (said(in_place=b"\0\3later"), None),
        (said(in_place=b"\0\2other"), None),
    ],
)  # fmt: skip
def test_a_card_that_says_what_cannot_be_is_not_taken_for_done(
    town: Fleet,
    monkeypatch: pytest.MonkeyPatch,
    before: list[ResponseApdu],
    after: list[ResponseApdu] | None,
) -> None:
    """The card is its owner's, who has changed what it says of itself, in its own channel."""
    one, _ = town.meters
    content = version(town.home, "0.2.0")
    digest = brought(content).target.digest
    looks = iter([before, after])

    def lying(*_: object) -> ResponseApdu:
        told = next(looks)
        assert told is not None
        return ResponseApdu(told[0].data.replace(b"new".ljust(32, b"\0"), digest), 0x9000)

    number = planned(town, content, one)
    with monkeypatch.context() as patched:
        patched.setattr("hub.card.commands.upgrade._how_it_is", lying)
        town.dial(one)
    assert of(town, number) == {one: HubState.FAILED}
    [answer] = town.rollouts.answers(number, one)
    assert answer.detail.startswith(f"meter {one.hex()}: ")
    town.rollouts.roll_back(number)
    town.dial_all()
    assert of(town, number) == {one: HubState.ROLLED_BACK}
    assert town.in_place(one)[0] == "0.1"


def test_a_card_that_says_it_has_what_it_has_not_is_believed_of_itself_alone(
    town: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    liar, honest = town.meters
    content = version(town.home, "0.2.0")
    number = planned(town, content)
    told = said(in_place=b"\0\2new")[0].data
    told = told.replace(b"new".ljust(32, b"\0"), brought(content).target.digest)
    with monkeypatch.context() as patched:
        patched.setattr(
            "hub.card.commands.upgrade._how_it_is", lambda *_: ResponseApdu(told, 0x9000)
        )
        town.dial(liar)
    assert of(town, number) == {liar: HubState.INSTALLED, honest: HubState.PLANNED}
    town.dial(honest)
    assert town.in_place(honest)[0] == "0.2"
    town.rollouts.roll_back(number)
    town.dial_all()
    assert of(town, number) == {liar: HubState.ROLLED_BACK, honest: HubState.ROLLED_BACK}
    assert {town.in_place(meter)[0] for meter in town.meters} == {"0.1"}
