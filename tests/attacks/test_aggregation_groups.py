# SPDX-License-Identifier: Apache-2.0
"""Groups under attack: invented members, small groups, sums that could be subtracted."""

from collections.abc import Collection
from dataclasses import replace
from itertools import combinations

import pytest

from protocols.aggregation.errors import MalformedMessage, RoundRefused
from protocols.aggregation.round import Round
from protocols.aggregation.rules import ReleasedSum, Rules
from tests.support.aggregation import (
    AUTHORITY,
    COLLECTOR_KEY,
    NONCE,
    OPERATOR,
    Home,
    announce,
    contributors_of,
    homes,
    public_of,
    terms,
)

RULES = Rules((public_of(AUTHORITY),), least_key_bits=1024)
NOW = 1_399_000_000


def test_invented_members_are_refused() -> None:
    members = homes(6, 24)
    invented = [Home(100 + n, [0] * 24) for n in range(5)]
    roster = (members[0].member(), *(home.member(authority=OPERATOR) for home in invented))
    announced = Round.announce(terms(), NONCE, NOW + 1000, COLLECTOR_KEY, roster, OPERATOR)
    with pytest.raises(RoundRefused, match="no authority"):
        RULES.require_round(announced, NOW)


def test_keys_that_the_certifier_has_not_signed_are_refused() -> None:
    members = homes(6, 24)
    honest = [home.member() for home in members]
    keys = replace(honest[0].keys, exchange=members[1].secret_for(bytes(32)).exchange_key)
    roster = (replace(honest[0], keys=keys), *honest[1:])
    announced = Round.announce(terms(), NONCE, NOW + 1000, COLLECTOR_KEY, roster, OPERATOR)
    with pytest.raises(RoundRefused, match="certifier has not signed"):
        RULES.require_round(announced, NOW)


def test_one_meter_cannot_be_many_members() -> None:
    honest = [home.member() for home in homes(6, 24)]
    for roster in ((*honest, honest[0]), (honest[0],)):
        with pytest.raises(MalformedMessage):
            Round.announce(terms(), NONCE, NOW, COLLECTOR_KEY, roster, OPERATOR)
    twin = replace(honest[1].certificate, certifier=honest[0].certificate.certifier)
    with pytest.raises(MalformedMessage, match="one certifier"):
        Round.announce(
            terms(), NONCE, NOW, COLLECTOR_KEY,
            (honest[0], replace(honest[1], certificate=twin)), OPERATOR,
        )  # fmt: skip


@pytest.mark.parametrize("count", [2, 4])
def test_small_groups_are_refused(count: int) -> None:
    announced = announce(homes(count, 24))
    with pytest.raises(RoundRefused, match="fewer than 5"):
        RULES.require_round(replace(announced, valid_until=NOW + 1000), NOW)


def test_a_group_that_shrinks_below_the_least_is_not_opened() -> None:
    members = homes(6, 24)
    announced = announce(members)
    contributors = contributors_of(announced, members, 0, 1, 2, 3)
    with pytest.raises(RoundRefused, match="fewer than 5"):
        RULES.require_set(announced, contributors, [])


def test_a_key_that_is_too_short_is_refused() -> None:
    announced = replace(announce(homes(6, 24)), valid_until=NOW + 1000)
    RULES.require_round(announced, NOW)
    with pytest.raises(RoundRefused, match="1024 bits is too short"):
        Rules(RULES.authorities).require_round(announced, NOW)


def test_contributors_that_no_roster_names_are_refused() -> None:
    members = homes(7, 24)
    announced = announce(members[:6])
    contributors = contributors_of(announced, members, 0, 1, 2, 3, 6)
    with pytest.raises(RoundRefused, match="not in the roster"):
        RULES.require_set(announced, contributors, [])


@pytest.mark.parametrize("until", [NOW, NOW - 1, NOW + 32 * 86_400])
def test_a_round_that_is_over_or_never_ends_is_refused(until: int) -> None:
    announced = replace(announce(homes(6, 24)), valid_until=until)
    with pytest.raises(RoundRefused, match="over, or ends too late"):
        RULES.require_round(announced, NOW)


def released(announced: Round, numbers: set[int], missing: Collection[int] = ()) -> ReleasedSum:
    names = {number: announced.members[number].name for number in numbers}
    complete = frozenset(name for number, name in names.items() if number not in missing)
    return ReleasedSum(*announced.terms.bounds, frozenset(names.values()), complete)


def is_refused(
    announced: Round,
    numbers: set[int],
    earlier: list[ReleasedSum],
    missing: Collection[int] = (),
) -> bool:
    members = [Home(number, [], missing=int(number in missing)) for number in range(30)]
    contributors = contributors_of(announced, members, *sorted(numbers))
    try:
        RULES.require_set(announced, contributors, earlier)
    except RoundRefused:
        return True
    return False


TWENTY = set(range(20))


@pytest.mark.parametrize(
    ("second", "refused"),
    [
        (TWENTY, False),
        (TWENTY - {7}, True),
        (TWENTY - {1, 2, 3, 4}, True),
        (TWENTY - {1, 2, 3, 4, 5}, False),
        (TWENTY | {20}, True),
        (TWENTY - {1} | {20}, True),
        (TWENTY - {1, 2, 3, 4, 5} | {20, 21, 22, 23, 24}, True),
        (TWENTY | {20, 21, 22, 23, 24}, False),
        (set(range(8)), True),
        (set(range(13)), False),
    ],
)
def test_sums_of_one_time_over_sets_that_differ_in_few_are_refused(
    second: set[int], refused: bool
) -> None:
    announced = announce(homes(30, 24))
    assert is_refused(announced, second, [released(announced, TWENTY)]) is refused


def test_other_times_do_not_matter() -> None:
    announced = announce(homes(30, 24))
    begin, end = announced.terms.bounds
    day = end - begin
    for shift, refused in ((-day, False), (day, False), (-day + 1, True), (day - 1, True)):
        first = released(announced, TWENTY)
        moved = replace(first, begin=first.begin + shift, end=first.end + shift)
        assert is_refused(announced, TWENTY - {3}, [moved]) is refused


def test_no_three_sums_isolate_few_though_any_two_of_them_differ_in_many() -> None:
    """S less two disjoint subsets of it: no household has seen all three, yet one is refused."""
    announced = announce(homes(11, 24))
    everybody = set(range(11))
    first, second = set(range(5)), set(range(5, 10))
    earlier = [released(announced, everybody)]
    assert len(everybody - first) >= RULES.smallest_group
    assert len(everybody - second) >= RULES.smallest_group
    assert is_refused(announced, first, earlier)
    assert is_refused(announced, second, earlier)


def test_any_two_subsets_that_may_follow_a_set_share_a_group() -> None:
    """Exhaustively for a group of 3 out of 9: so the honest ones among them see both."""
    members = homes(9, 24)
    announced = announce(members)
    rules, whole = Rules(RULES.authorities, 3, 1024), set(range(9))
    earlier = [released(announced, whole)]
    allowed = []
    for size in range(3, 9):
        for chosen in combinations(whole, size):
            contributors = contributors_of(announced, members, *chosen)
            try:
                rules.require_set(announced, contributors, earlier)
            except RoundRefused:
                continue
            allowed.append(set(chosen))
    assert {len(chosen) for chosen in allowed} == {6}
    assert all(len(one & other) >= 3 for one, other in combinations(allowed, 2))


# Homes without readings.


def test_a_home_without_readings_is_not_counted_in_a_group() -> None:
    """Five members, one of whom has a gap: the sum is over four, in that slot."""
    announced = announce(homes(6, 24))
    assert not is_refused(announced, {0, 1, 2, 3, 4}, [])
    assert is_refused(announced, {0, 1, 2, 3, 4}, [], missing={2})
    assert not is_refused(announced, {0, 1, 2, 3, 4, 5}, [], missing={2})


def test_a_list_that_names_a_home_without_readings_as_whole_is_refused() -> None:
    members = homes(5, 24)
    members[2].missing = 96
    announced = announce(members)
    honest = contributors_of(announced, members, 0, 1, 2, 3, 4)
    with pytest.raises(RoundRefused, match="4 of them with a reading in every slot"):
        RULES.require_set(announced, honest, [])
    for lie in (
        replace(honest, missing=(0,) * 5),
        replace(honest, missing=(0,) * 5, coverages=honest.coverages[:1] * 5),
        replace(honest, coverages=(*honest.coverages[:2], bytes(64), *honest.coverages[3:])),
        replace(contributors_of(announced, homes(5, 24), 0, 1, 2, 3, 4), round=bytes(32)),
    ):
        with pytest.raises(RoundRefused, match="certifier has not signed"):
            RULES.require_set(announced, lie, [])


def test_a_difference_is_counted_over_homes_with_readings() -> None:
    """All twenty, then all but one home and four that have no readings: what it used."""
    announced = announce(homes(30, 24))
    empty = {1, 2, 3, 4}
    whole = released(announced, TWENTY, missing=empty)
    assert not is_refused(announced, TWENTY - {1, 2} - {5, 6, 7, 8, 9}, [whole])
    assert is_refused(announced, TWENTY - empty - {7}, [whole])
    smaller = released(announced, TWENTY - empty - {7})
    assert is_refused(announced, TWENTY, [smaller], missing=empty)


def test_sums_that_were_opened_before_readings_were_counted_stand_alone() -> None:
    announced = announce(homes(30, 24))
    before = replace(released(announced, TWENTY), complete=frozenset())
    assert not is_refused(announced, TWENTY, [before])
    assert is_refused(announced, TWENTY - {1, 2, 3, 4, 5}, [before])
    assert not is_refused(announced, TWENTY | {20, 21, 22, 23, 24}, [before])
