# SPDX-License-Identifier: Apache-2.0
"""Days that are packed into one row come out as they went in, and damage is found."""

import itertools
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canonical.stored import encode_row
from utility_server.errors import StoreError
from utility_server.packed_days import KnownDay, Standing, pack_days, runs_of, unpack_days

DIGESTS = st.binary(min_size=32, max_size=32)
STANDS = st.binary(min_size=1, max_size=60)
DAY = [bytes(32), 739_000, b"begins", b"ends", b"\x80"]


@st.composite
def following_days(draw: st.DrawFn) -> list[KnownDay]:
    digests = draw(st.lists(DIGESTS, min_size=2, max_size=8))
    shared = draw(st.lists(STANDS, min_size=2, max_size=2))
    known = []
    for previous, digest in itertools.pairwise(digests):
        standing = None
        if draw(st.booleans()):
            begins, ends = draw(st.sampled_from(shared)), draw(st.sampled_from(shared))
            events = draw(st.binary(max_size=3))
            standing = Standing(draw(st.dates(date(2000, 1, 1))), begins, ends, events)
        known.append(KnownDay(previous, digest, standing))
    return known


@given(following_days())
def test_days_come_out_as_they_went_in(days: list[KnownDay]) -> None:
    assert unpack_days(pack_days(days)) == days
    assert list(runs_of(enumerate(days), 99)) == [list(enumerate(days))]


def test_what_a_day_shares_with_the_one_before_it_is_written_once() -> None:
    def day(place: int) -> KnownDay:
        standing = Standing(date(2025, 3, 1 + place), b"%060d" % place, b"%060d" % (place + 1), b"")
        return KnownDay(b"%032d" % place, b"%032d" % (place + 1), standing)

    packed = pack_days([day(place) for place in range(31)])
    assert len(packed) < 31 * (32 + 60 + 15) + 100


def test_days_that_do_not_follow_each_other_are_in_two_rows() -> None:
    one, other = KnownDay(b"a", b"b", None), KnownDay(b"c", b"d", None)
    with pytest.raises(ValueError, match="do not follow each other"):
        pack_days([one, other])
    assert len(list(runs_of([(1, one), (2, other)], 99))) == 2
    assert len(list(runs_of([(1, one), (3, KnownDay(b"b", b"c", None))], 99))) == 2
    assert len(list(runs_of([(1, one), (2, KnownDay(b"b", b"c", None))], 1))) == 2


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", encode_row([]), encode_row(7), encode_row([7, DAY]), encode_row([b"", DAY[:4]]),
     encode_row([b"", [*DAY[:1], 0, *DAY[2:]]]), encode_row([b"", [*DAY[:1], 1 << 70, *DAY[2:]]]),
     encode_row([b"", ["text", *DAY[1:]]]), encode_row([b"", [*DAY, 1]])],
)  # fmt: skip
def test_a_damaged_row_is_found(data: bytes) -> None:
    with pytest.raises(StoreError, match="not what was written"):
        unpack_days(data)
