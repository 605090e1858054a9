# SPDX-License-Identifier: Apache-2.0
"""What is known of a number by whoever was opened the sums of some slots."""

from hypothesis import given
from hypothesis import strategies as st

from hub.disclosure.cells import Form
from hub.disclosure.opened import Opening, relative

STEP = 900
DAY = 86_400


@given(st.integers(1, 96), st.integers(0, 40))
def test_an_opening_that_ends_within_a_sum_opens_nothing_beyond_its_end(
    slots: int, later: int
) -> None:
    form = Form(0, STEP, (1,) * 96 + (3,) * (slots + later))
    known = relative(form, [Opening(0, STEP * slots, DAY)])
    # The total of these slots is known, and of all the others nothing is.
    assert known.weights == (0,) * slots + form.weights[slots:]
    assert set(known.known) == set(range(slots))


def test_a_day_of_23_hours_that_was_opened_leaves_the_next_day_as_it_was() -> None:
    short, long = 92, 96
    form = Form(0, STEP, (1,) * short + (2,) * long)
    end = STEP * short
    both = [Opening(0, end, DAY), Opening(end, end + DAY, DAY)]
    assert relative(form, both[:1]).weights == (0,) * short + (2,) * long
    assert relative(form, both).weights == (0,) * (short + long)
