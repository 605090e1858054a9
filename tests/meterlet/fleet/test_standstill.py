# SPDX-License-Identifier: Apache-2.0
"""A fleet that gets no further says so, and why: soon, and then less and less often."""

from meterlet.fleet.run import STANDSTILL_SECONDS, _Standstill


def test_a_standstill_is_told_after_a_while_and_less_and_less_often() -> None:
    standstill = _Standstill(0.0)
    told = [second for second in range(200) if standstill.is_due(5, float(second))]
    assert told == [STANDSTILL_SECONDS, 2 * STANDSTILL_SECONDS, 40, 80, 160]
    assert not standstill.is_due(4, 201.0)  # one was billed
    assert not standstill.is_due(4, 210.0)
    assert standstill.is_due(4, 212.0)
