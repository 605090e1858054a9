# SPDX-License-Identifier: Apache-2.0
"""Rounds that name a roster by digest: nothing gets past a hub that way that would not in full."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from applets.aggregation.messages import Instruction
from hub.applet_host import RoundRecord
from hub.applet_host.aggregation_record import MOST_ROSTERS
from hub.machine.machine import AppletMachine
from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.members import MemberSecret
from protocols.aggregation.messages import PairPoints
from protocols.aggregation.revocations import Revocation, RevocationList
from protocols.aggregation.rosters import NamedContributors, NamedRound, Roster
from protocols.aggregation.round import Round
from protocols.canonical.cbor import encode_array
from protocols.metrology import Period
from protocols.proofs import PointVector
from tests.support.aggregation import AUTHORITY, COLLECTOR_KEY, OPERATOR, private_key
from tests.support.hubs import DAYS, NOW, Hub, about, announce, copies, run

NOT_ALLOWED = 0x6982
WRONG = 0x6A80
NOT_FOUND = 0x6A88
NONCE = bytes(32)
LATER = Period(date(2025, 3, 5), date(2025, 3, 5))


@pytest.fixture
def hubs(tmp_path: Path, machine: AppletMachine, closed_hubs: list[Hub]) -> Iterator[list[Hub]]:
    with copies(closed_hubs, tmp_path, machine) as hubs:
        yield hubs


def again(announced: Round, until: int = NOW + 80_000, seed: bytes = OPERATOR) -> Round:
    """Return the next round with the same keys: of another day."""
    return Round.announce(
        about(period=LATER), announced.nonce, until, COLLECTOR_KEY, announced.members, seed
    )


def named(announced: Round) -> bytes:
    return NamedRound.of(announced).encode()


def status(hub: Hub, step: Instruction, *parts: bytes) -> int:
    return hub.send(step, *parts)[1].sw


def test_a_round_by_name_is_the_same_round_and_its_sum_opens(hubs: list[Hub]) -> None:
    first = announce(hubs, NONCE)
    assert status(hubs[0], Instruction.CONTRIBUTE, named(first)) == NOT_FOUND
    run(first, hubs)
    second = again(first)
    short = named(second)
    assert len(short) < len(second.encode()) / 2
    told = [hub.take(Instruction.CONTRIBUTE, short) for hub in hubs]
    assert told == [hub.take(Instruction.CONTRIBUTE, second.encode()) for hub in hubs]
    collector, contributors = run(second, hubs)
    by_name = NamedContributors(second.digest, contributors.digest).encode()
    signatures = b"".join(collector.agreements)
    for hub in hubs:
        assert hub.take(Instruction.OPEN, by_name, signatures) == hub.take(
            Instruction.OPEN, contributors.encode(), signatures
        )
    opened = decrypt_sum(second, collector.batch(), private_key(2048))
    assert opened.values == tuple(
        map(sum, zip(*(hub.values(60, LATER) for hub in hubs), strict=True))
    )


def test_a_name_for_another_roster_than_was_signed_is_refused(hubs: list[Hub]) -> None:
    """The hub has both rosters; the operator's signature is on one of them."""
    six, five = announce(hubs, NONCE), announce(hubs[:5], bytes([1] * 32))
    for announced in (six, five):
        hubs[0].take(Instruction.CONTRIBUTE, announced.encode())
    honest = NamedRound.of(again(six))
    swapped = replace(honest, roster=Roster.of(five).digest)
    assert status(hubs[0], Instruction.CONTRIBUTE, swapped.encode()) in (NOT_ALLOWED, WRONG)
    unknown = replace(honest, roster=bytes(32))
    assert status(hubs[0], Instruction.CONTRIBUTE, unknown.encode()) == NOT_FOUND
    forged = named(again(six, seed=AUTHORITY))
    assert status(hubs[0], Instruction.CONTRIBUTE, forged) == NOT_ALLOWED
    # Members of its own beside the roster's, under the roster's name.
    more = encode_array(["meterlet aggregation round 3", *Roster.of(six).members])
    assert status(hubs[0], Instruction.CONTRIBUTE, replace(honest, head=more).encode()) == WRONG
    assert status(hubs[0], Instruction.CONTRIBUTE, honest.encode()) == 0x9000


def test_a_roster_that_is_swapped_between_rounds_is_not_found_under_the_old_name(
    hubs: list[Hub],
) -> None:
    """A roster with one member less has another digest: it has to be sent, and is checked anew."""
    first = announce(hubs, NONCE)
    hubs[0].take(Instruction.CONTRIBUTE, first.encode())
    fewer = Round.announce(
        about(period=LATER), NONCE, NOW + 900, COLLECTOR_KEY, first.members[:4], OPERATOR
    )
    assert status(hubs[0], Instruction.CONTRIBUTE, named(fewer)) == NOT_FOUND
    assert status(hubs[0], Instruction.CONTRIBUTE, fewer.encode()) == NOT_ALLOWED
    # What was refused is not kept: the name does not lead to it later either.
    assert status(hubs[0], Instruction.CONTRIBUTE, named(fewer)) == NOT_FOUND
    with pytest.raises(MalformedMessage, match="another roster"):
        NamedRound.of(again(first)).announcement(Roster.of(fewer))


def test_a_member_that_is_revoked_ends_what_a_kept_roster_is_good_for(hubs: list[Hub]) -> None:
    first = announce(hubs, NONCE)
    hubs[0].take(Instruction.CONTRIBUTE, first.encode())
    revoked = hubs[3].certificate.certifier
    entry = Revocation(revoked, DAYS.bounds("Europe/London")[0])
    listed = RevocationList(1, NOW, (entry,)).signed(AUTHORITY)
    hubs[0].device.meter_trust.take_revocations(listed.encode())
    assert status(hubs[0], Instruction.CONTRIBUTE, named(again(first))) == NOT_ALLOWED
    [why] = [one.facts["why"] for one in hubs[0].device.disclosure.log.entries("refusal")]
    assert "revoked" in why
    # The others were not told yet.
    hubs[1].take(Instruction.CONTRIBUTE, first.encode())
    assert status(hubs[1], Instruction.CONTRIBUTE, named(again(first))) == 0x9000


def test_an_authority_that_is_trusted_no_more_ends_it_too(hubs: list[Hub]) -> None:
    first = announce(hubs, NONCE)
    hubs[0].take(Instruction.CONTRIBUTE, first.encode())
    for pem in (hubs[0].device.folder / "authorities").iterdir():
        pem.unlink()
    assert status(hubs[0], Instruction.CONTRIBUTE, named(again(first))) == NOT_ALLOWED


def test_a_list_by_name_is_the_one_that_was_agreed_to(hubs: list[Hub]) -> None:
    announced = announce(hubs, NONCE)
    for hub in hubs:
        hub.take(Instruction.CONTRIBUTE, announced.encode())
    by_name = NamedContributors(announced.digest, bytes(32)).encode()
    # Not agreed to any yet, then to another.
    assert status(hubs[0], Instruction.OPEN, by_name, bytes(64)) == NOT_FOUND
    collector, contributors = run(announced, hubs)
    assert status(hubs[0], Instruction.OPEN, by_name, bytes(64)) == NOT_FOUND
    right = NamedContributors(announced.digest, contributors.digest).encode()
    forged = bytes(64) * len(hubs)
    assert status(hubs[0], Instruction.OPEN, right, forged) == NOT_ALLOWED
    other = NamedContributors(bytes(32), contributors.digest).encode()
    assert status(hubs[0], Instruction.OPEN, other, forged) == NOT_FOUND
    assert len(collector.agreements) == len(hubs)


def test_only_the_last_rosters_are_kept_and_none_that_was_refused(hubs: list[Hub]) -> None:
    """Nobody fills a hub with rosters, not even its operator."""
    hub, rounds = hubs[0], []
    for number in range(MOST_ROSTERS + 1):
        announced = announce(hubs, bytes([number] * 32))
        hub.take(Instruction.CONTRIBUTE, announced.encode())
        rounds.append(announced)
    forged = again(announce(hubs, bytes([99] * 32)), seed=AUTHORITY)
    assert status(hub, Instruction.CONTRIBUTE, forged.encode()) == NOT_ALLOWED
    [[kept]] = hub.device.database.connection.execute("SELECT count(*) FROM aggregation_roster")
    assert kept == MOST_ROSTERS
    assert status(hub, Instruction.CONTRIBUTE, named(again(rounds[0]))) == NOT_FOUND
    assert status(hub, Instruction.CONTRIBUTE, named(again(rounds[1]))) == 0x9000


def test_keys_of_which_a_secret_was_shown_are_good_for_no_other_round(hubs: list[Hub]) -> None:
    """What an honest home shows in a dispute is a secret of all rounds with these keys."""
    announced, other = announce(hubs, NONCE), again(announce(hubs, NONCE))
    _, contributors = run(announced, hubs)
    run(other, hubs)
    listed, liar = contributors.encode(), hubs[1]
    points = PairPoints.decode(liar.take(Instruction.SHOW_POINTS, listed))
    wrong = PointVector([point * 2 for point in points.points])
    secret = MemberSecret(liar.device.aggregation_secret, NONCE)
    forged = replace(points, points=wrong).signed(secret.signing_seed)
    hubs[0].take(Instruction.SHOW_KEY, listed, forged.encode())
    third = again(announced, NOW + 70_000)
    assert status(hubs[0], Instruction.CONTRIBUTE, third.encode()) == NOT_ALLOWED
    assert status(hubs[0], Instruction.CONTRIBUTE, named(third)) == NOT_ALLOWED
    *_, entry = hubs[0].device.disclosure.log.entries("refusal")
    assert "used up" in entry.facts["why"]
    # Nor for one that is under way; the dispute itself goes on, and others are free.
    record = RoundRecord(hubs[0].device.database)
    known = record.find(other.digest, hubs[0].enrolment.applet)
    assert known is not None
    assert known.listed is not None
    assert status(hubs[0], Instruction.SHOW_POINTS, known.listed) == NOT_ALLOWED
    assert status(hubs[0], Instruction.SHOW_KEY, listed, forged.encode()) == 0x9000
    assert status(hubs[2], Instruction.CONTRIBUTE, third.encode()) == 0x9000
    fresh = announce(hubs, bytes([7] * 32), about(period=LATER), NOW + 70_000)
    assert status(hubs[0], Instruction.CONTRIBUTE, fresh.encode()) == 0x9000
