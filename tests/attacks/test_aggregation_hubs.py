# SPDX-License-Identifier: Apache-2.0
"""Operators that ask hubs for more than a group's sum: each is refused, and on record."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from applets.aggregation.messages import Instruction
from hub.applet_host import HubAggregation, RoundRecord
from hub.applet_host.command import CommandStack
from hub.applet_host.registers import granted_registers
from hub.installer import Installer
from hub.machine.machine import AppletMachine
from hub.machine.meter import WorkMeter
from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.messages import Contribution, Contributors
from protocols.aggregation.round import Round, RoundTerms
from protocols.metrology import Period
from protocols.platform.errors import Refusal, Refused
from tests.support.aggregation import (
    AUTHORITY,
    COLLECTOR,
    COLLECTOR_KEY,
    OPERATOR,
    private_key,
    public_of,
)
from tests.support.applet_commands import at_work
from tests.support.hubs import (
    DAYS,
    NOW,
    Hub,
    about,
    announce,
    copies,
    make_hub,
    open_copy,
    package,
    run,
)

NOT_ALLOWED = 0x6982
NO_CONSENT = 0x6985
TOO_OFTEN = 0x6983
WRONG = 0x6A80
INCOMPLETE = 0x6A83
TOO_MUCH = 0x6A84
NOT_FOUND = 0x6A88


@pytest.fixture
def hubs(tmp_path: Path, machine: AppletMachine, closed_hubs: list[Hub]) -> Iterator[list[Hub]]:
    with copies(closed_hubs, tmp_path, machine) as hubs:
        yield hubs


def answer(hub: Hub, step: Instruction, *parts: bytes) -> int:
    _, response = hub.send(step, *parts)
    assert response.sw == 0x9000 or response.data == b""
    return response.sw


def refusals(hub: Hub) -> list[str]:
    return [entry.facts["why"] for entry in hub.device.disclosure.log.entries("refusal")]


def test_only_the_operator_of_the_installation_announces_rounds(hubs: list[Hub]) -> None:
    members = tuple(hub.member(bytes(32)) for hub in hubs)
    forged = Round.announce(about(), bytes(32), NOW + 900, COLLECTOR_KEY, members, AUTHORITY)
    assert answer(hubs[0], Instruction.CONTRIBUTE, forged.encode()) == NOT_ALLOWED


def test_without_an_authority_that_vouches_for_all_nothing_is_contributed(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32))
    for pem in (hubs[0].device.folder / "authorities").iterdir():
        pem.unlink()
    assert answer(hubs[0], Instruction.CONTRIBUTE, announced.encode()) == NOT_ALLOWED
    assert refusals(hubs[0]) == ["round: no authority is known to say which meters there are"]


def test_a_group_smaller_than_the_manifest_says_is_refused_and_on_record(hubs: list[Hub]) -> None:
    announced = announce(hubs[:4], bytes(32))
    assert answer(hubs[0], Instruction.CONTRIBUTE, announced.encode()) == NOT_ALLOWED
    assert refusals(hubs[0]) == ["round: a group of 4, fewer than 5"]


def test_a_group_smaller_than_the_consent_says_is_refused(hubs: list[Hub]) -> None:
    disclosure = hubs[0].device.disclosure
    [consent] = disclosure.consents()
    disclosure.narrow(consent.number, replace(consent.terms, least_group=7))
    announced = announce(hubs, bytes(32))
    assert answer(hubs[0], Instruction.CONTRIBUTE, announced.encode()) == NO_CONSENT
    assert refusals(hubs[0]) == ["group: 6 households, the consent says at least 7"]
    assert answer(hubs[1], Instruction.CONTRIBUTE, announced.encode()) == 0x9000


@pytest.fixture(scope="module")
def dark(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> Hub:
    """A home that was cut off for three hours of the round's first day."""
    noon = DAYS.bounds("Europe/London")[0] + 12 * 3600
    folder = tmp_path_factory.mktemp("dark") / "hub"
    made = make_hub(folder, 9, machine, package(), gap=range(noon + 1, noon + 3 * 3600))
    made.device.close()
    return made


@pytest.fixture
def gap(tmp_path: Path, machine: AppletMachine, dark: Hub) -> Iterator[Hub]:
    made = open_copy(dark, tmp_path / "dark", machine)
    yield made
    made.device.close()


def test_a_home_without_readings_does_not_make_a_group_of_four_one_of_five(
    hubs: list[Hub], gap: Hub
) -> None:
    """It takes part with zeros: in the slots that it lacks, the sum is over four."""
    five = [*hubs[:4], gap]
    announced = announce(five, bytes(32))
    made = [hub.take(Instruction.CONTRIBUTE, announced.encode()) for hub in five]
    found = {one.index: one for one in map(Contribution.decode, made)}
    honest = Contributors.of(announced.digest, found).signed(COLLECTOR)
    assert sorted(honest.missing) == [0, 0, 0, 0, 12]
    lie = replace(honest, missing=(0,) * 5).signed(COLLECTOR)
    for hub in five:
        assert answer(hub, Instruction.AGREE, lie.encode()) == NOT_ALLOWED
        assert answer(hub, Instruction.AGREE, honest.encode()) == NOT_ALLOWED
    first, second = refusals(hubs[0])
    assert "its certifier has not signed that 0 of its slots are missing" in first
    assert second == ("round: a group of 5, 4 of them with a reading in every slot: fewer than 5")


def test_the_guard_counts_homes_with_readings(hubs: list[Hub], gap: Hub) -> None:
    disclosure = hubs[0].device.disclosure
    [consent] = disclosure.consents()
    disclosure.narrow(consent.number, replace(consent.terms, least_group=6))
    six = [*hubs[:5], gap]
    announced = announce(six, bytes(32))
    made = [hub.take(Instruction.CONTRIBUTE, announced.encode()) for hub in six]
    found = {one.index: one for one in map(Contribution.decode, made)}
    listed = Contributors.of(announced.digest, found).signed(COLLECTOR).encode()
    assert answer(hubs[0], Instruction.AGREE, listed) == NO_CONSENT
    assert refusals(hubs[0]) == ["group: 5 households, the consent says at least 6"]
    assert answer(hubs[1], Instruction.AGREE, listed) == 0x9000


def test_what_is_on_record_of_a_sum_is_how_many_had_readings(hubs: list[Hub], gap: Hub) -> None:
    six = [*hubs[:5], gap]
    run(announce(six, bytes(32)), six)
    for hub in six:
        [entry] = hub.device.disclosure.log.entries("aggregate")
        assert entry.facts["group"] == 5


def test_a_strangers_list_of_contributors_binds_no_hub_and_fills_no_log(hubs: list[Hub]) -> None:
    """It knows all contributions, and would have the hub agree to others than the rest do."""
    announced = announce(hubs, bytes(32))
    made = [hub.take(Instruction.CONTRIBUTE, announced.encode()) for hub in hubs]
    found = {one.index: one for one in map(Contribution.decode, made)}
    whole = Contributors.of(announced.digest, found).signed(COLLECTOR)
    fewer = whole.among(whole.indexes[:5])
    for forged in (fewer, fewer.signed(AUTHORITY), replace(fewer, signature=whole.signature)):
        for hub in hubs:
            assert answer(hub, Instruction.AGREE, forged.encode()) == NOT_ALLOWED
    assert refusals(hubs[0]) == []
    for hub in hubs:
        assert answer(hub, Instruction.AGREE, whole.encode()) == 0x9000


def test_without_consent_nothing_is_contributed_and_nothing_opened(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32))
    for hub in hubs:
        hub.take(Instruction.CONTRIBUTE, announced.encode())
    disclosure = hubs[0].device.disclosure
    disclosure.revoke(disclosure.consents()[0].number)
    again = announce(hubs, bytes(31) + b"x")
    assert answer(hubs[0], Instruction.CONTRIBUTE, again.encode()) == NO_CONSENT
    assert len(list(disclosure.log.entries("aggregate"))) == 0


def test_a_second_set_of_contributors_of_one_round_is_refused(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32))
    collector, contributors = run(announced, hubs)
    fewer = contributors.among(contributors.indexes[:-1]).signed(COLLECTOR)
    nobody = replace(contributors, indexes=(*fewer.indexes, 99))
    fresh = announce(hubs, b"2" * 32)
    hubs[0].take(Instruction.CONTRIBUTE, fresh.encode())
    listed = replace(nobody, round=fresh.digest).signed(COLLECTOR)
    assert answer(hubs[0], Instruction.AGREE, listed.encode()) == NOT_ALLOWED
    for hub in hubs[:5]:
        if announced.index_of(hub.meter) in fewer.indexes:
            assert answer(hub, Instruction.AGREE, fewer.encode()) == NOT_ALLOWED
    assert any("other contributors" in why for why in refusals(hubs[0]))
    assert collector.phase.value == "nothing more"


def test_a_second_sum_without_one_household_is_refused_by_all_others(hubs: list[Hub]) -> None:
    run(announce(hubs, bytes(32)), hubs)
    others = hubs[1:]
    for nonce, what in (
        (b"same day again" + bytes(18), about()),
        (b"one of its days" + bytes(17), about(period=Period(date(2025, 3, 4), date(2025, 3, 4)))),
        (b"by the day" + bytes(22), about(1440)),
    ):
        announced = announce(others, nonce, what)
        made = [hub.take(Instruction.CONTRIBUTE, announced.encode()) for hub in others]
        found = {one.index: one for one in map(Contribution.decode, made)}
        contributors = Contributors.of(announced.digest, found).signed(COLLECTOR)
        for hub in others:
            assert answer(hub, Instruction.AGREE, contributors.encode()) == NOT_ALLOWED
        assert "another sum of this time is over 6 households" in refusals(others[0])[-1]


def test_the_same_set_may_be_summed_up_again_as_often_as_the_consent_says(hubs: list[Hub]) -> None:
    for number in range(8):
        announced = announce(hubs, number.to_bytes(32, "big"), about(1440))
        collector, _ = run(announced, hubs)
        assert decrypt_sum(announced, collector.batch(), private_key(2048)).meters
    ninth = announce(hubs, b"9" * 32, about(1440))
    assert answer(hubs[0], Instruction.CONTRIBUTE, ninth.encode()) == TOO_OFTEN


def test_steps_out_of_order_and_of_rounds_that_are_over_are_refused(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32))
    collector, contributors = run(announced, hubs)
    signatures = b"".join(collector.agreements)
    second = announce(hubs, b"2" * 32)
    listed = replace(contributors, round=second.digest).signed(COLLECTOR)
    for step, parts in (
        (Instruction.AGREE, (listed.encode(),)),
        (Instruction.OPEN, (listed.encode(), signatures)),
        (Instruction.SHOW_POINTS, (listed.encode(),)),
    ):
        assert answer(hubs[0], step, *parts) == NOT_FOUND
    hubs[0].take(Instruction.CONTRIBUTE, second.encode())
    assert answer(hubs[0], Instruction.OPEN, listed.encode(), signatures) == NOT_ALLOWED
    assert answer(hubs[0], Instruction.SHOW_POINTS, listed.encode()) == NOT_ALLOWED
    assert answer(hubs[0], Instruction.OPEN, contributors.encode(), signatures[:-64]) == NOT_ALLOWED
    assert answer(hubs[0], Instruction.OPEN, contributors.encode(), signatures[:-1]) == WRONG
    over = announce(hubs, b"3" * 32, until=NOW)
    assert answer(hubs[0], Instruction.CONTRIBUTE, over.encode()) == NOT_ALLOWED


def test_pairs_are_shown_after_the_opening_and_their_secret_for_a_lie_only(
    hubs: list[Hub],
) -> None:
    announced = announce(hubs, bytes(32))
    _, contributors = run(announced, hubs)
    points = hubs[1].take(Instruction.SHOW_POINTS, contributors.encode())
    assert hubs[0].take(Instruction.SHOW_POINTS, contributors.encode()) != points
    code = answer(hubs[0], Instruction.SHOW_KEY, contributors.encode(), points)
    assert code == NOT_ALLOWED


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (about, 0x9000),
        (lambda: about(bits=1024), NOT_ALLOWED),
        (lambda: replace(about(), value_bits=4), TOO_MUCH),
        (lambda: replace(about(), zone="Europe/Berlin"), NOT_FOUND),
        (lambda: replace(about(), register=bytes(6)), NOT_FOUND),
        (lambda: about(5), NO_CONSENT),
        (lambda: about(period=Period(date(2025, 3, 5), date(2025, 3, 9))), INCOMPLETE),
    ],
    ids=[
        "fine",
        "short key",
        "overflow",
        "zone",
        "register",
        "finer than consented",
        "not certified",
    ],
)
def test_rounds_that_the_hub_cannot_serve_are_refused_by_name(
    hubs: list[Hub], change: Callable[[], RoundTerms], code: int
) -> None:
    announced = announce(hubs, bytes(32), change())
    assert answer(hubs[0], Instruction.CONTRIBUTE, announced.encode()) == code


def test_garbage_is_refused_as_such(hubs: list[Hub]) -> None:
    for step, parts in (
        (Instruction.TELL_KEYS, (b"short",)),
        (Instruction.CONTRIBUTE, (b"\x80",)),
        (Instruction.AGREE, (b"no list",)),
        (Instruction.OPEN, (b"no list", b"no signature")),
        (Instruction.SHOW_POINTS, (b"\xff" * 40,)),
        (Instruction.SHOW_KEY, (b"\xff" * 40, b"x")),
    ):
        assert answer(hubs[0], step, *parts) == WRONG


def service_of(hub: Hub, stack: CommandStack) -> HubAggregation:
    """The service behind the hub's applet, for an applet that would take things back."""
    bundle = Installer(hub.device, hub.card).bundle(hub.enrolment.applet)
    return HubAggregation(
        hub.enrolment.applet,
        bundle.digest,
        bundle.manifest,
        granted_registers(hub.device.registers, bundle.manifest),
        hub.device.disclosure,
        RoundRecord(hub.device.database),
        hub.device.aggregation_secret,
        hub.device.authorities,
        hub.device.now,
        stack,
        WorkMeter(),
    )


def test_an_applet_gets_no_step_that_it_could_take_back(hubs: list[Hub]) -> None:
    """It could abort an agreement that it keeps in memory, and have another set agreed to."""
    announced = announce(hubs, bytes(32))
    collector, contributors = run(announced, hubs)
    listed, signatures = contributors.encode(), b"".join(collector.agreements)
    database = hubs[0].device.database
    with at_work(database) as stack:
        safe = service_of(hubs[0], stack)
        assert safe.agree(listed)
        assert safe.open_sum(listed, signatures)
    second = announce(hubs, b"2" * 32)
    steps: list[Callable[[], bytes]] = [
        lambda: unsafe.contribute(public_of(OPERATOR), second.encode()),
        lambda: unsafe.agree(listed),
        lambda: unsafe.open_sum(listed, signatures),
    ]
    with at_work(database, may_release=False) as stack:
        unsafe = service_of(hubs[0], stack)
        for step in steps:
            with pytest.raises(Refused) as refused:
                step()
            assert refused.value.refusal is Refusal.MALFORMED
