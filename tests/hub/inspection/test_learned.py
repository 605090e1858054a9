# SPDX-License-Identifier: Apache-2.0
"""What everybody who was told anything knows, by whatever way it left, in sentences that hold."""

from datetime import date
from typing import Any

import pytest

from hub.description import Description
from hub.device import Device
from hub.disclosure import (
    AggregateRequest,
    ConsentTerms,
    Form,
    Number,
    OutputRequest,
    Release,
    ReleaseRequest,
)
from hub.inspection.api.json_releases import TOGETHER, disclosed_json
from hub.inspection.export.by_consent import consent_to_export, export_readings
from hub.inspection.locales.catalogue import LANGUAGES, catalogue
from hub.inspection.locales.learning import learned_in_words, time_in_words, unit_in_words
from hub.inspection.views.learned import Learned, ToldMeter, ToldRecord, told_record
from hub.inspection.views.releases import releases_view
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period, find_zone
from tests.hub.inspection.conftest import APPLET
from tests.hub.inspection.test_releases import WEEKS, tell

BERLIN = find_zone("Europe/Berlin")
UNTIL = date(2030, 1, 1)
MONDAY = Period(date(2025, 3, 24), date(2025, 3, 24))
MARCH = 1_740_783_600
"""2025-03-01T00:00:00+01:00."""
DAY = 86_400
OWN = ToldMeter(
    "", Description(b"METER", (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15), frozenset({""}), ""
)


def export(device: Device, recipient: str, days: Period, minutes: int) -> int:
    """Hand readings to somebody; how many."""
    consent = consent_to_export(device, recipient, "advice", minutes, days, UNTIL)
    return export_readings(device, consent.number).readings


def put_out(device: Device, times: int, bits: int = 32) -> None:
    """Let a raw applet that reads hours put something out, so many times."""
    who = (APPLET, b"raw", "clinic", "research")
    device.disclosure.grant(ConsentTerms(*who, "output daily", 1, 60, 1, bits, UNTIL))
    for day in range(times):
        request = OutputRequest(*who, "daily", MARCH + day * DAY, bits)
        device.disclosure.permit_output(request)


def take_part(device: Device, households: int = 6, values: int = 96) -> None:
    """Have a part in a sum over households."""
    request = AggregateRequest(
        b"sum", b"package", "operator", "grid", bytes([households] * 32), "North",
        MARCH, MARCH + DAY, 1, 15, values, households,
    )  # fmt: skip
    device.disclosure.record_aggregate(request)


def said(device: Device, recipient: str = "") -> str:
    """What the English page says of one recipient, or of all of them together."""
    view = releases_view(device)
    learned = view.known[recipient] if recipient else view.together
    return learned_in_words(learned, catalogue("en").for_pages(BERLIN))


def number(*weights: int, begin: int = MARCH, **more: Any) -> Number:
    form = Form(begin, 900, weights, register=more.pop("register", ""))
    return Number("linear", (form,), 21, spread=more.pop("spread", 50), **more)


def learned(*numbers: Number, name: str = "supplier") -> Learned:
    """What a recipient has learned from numbers that it was told one by one."""
    releases = [
        Release(place, MARCH, b"", name, "billing", "linear", b"", (one,))
        for place, one in enumerate(numbers, start=1)
    ]
    return ToldRecord([OWN], releases, [], [], [], [], {}).learned_by([name], name)


def in_english(one: Learned) -> str:
    return learned_in_words(one, catalogue("en").for_pages(BERLIN))


def test_a_recipient_of_one_number_knows_that_number_and_no_day() -> None:
    words = in_english(learned(number(*[1] * (31 * 96 - 4))))
    assert words == (
        "The supplier knows one number about your use (March 2025; 21 bits)."
        " Nothing finer than a mix of 743 hours of your use can be worked out from that by any"
        " means, so not your use on any single day."
    )


def test_two_numbers_that_leave_a_day_apart_do_not_promise_the_day() -> None:
    rest = [1] * (27 * 96)
    words = in_english(learned(number(*rest, *[1] * 96), number(*rest, *[0] * 96)))
    assert "2 numbers about your use" in words
    assert "42 bits in all" in words
    assert "a mix of 24 hours of your use" in words
    assert "single day" not in words
    assert "whole use may be known from the numbers: Friday, 28 March 2025." in words


def test_the_same_number_asked_again_counts_once() -> None:
    same = number(*[1] * 2880)
    assert learned(same, same).numbers == 1


def test_of_exact_numbers_each_price_may_be_told_apart() -> None:
    """0.1 told them: one exact number gives the sums of each price away to who looks at digits."""
    weights = [341_200] * 96 + [268_900] * 288
    assert "a mix of 96 hours" in in_english(learned(number(*weights)))
    assert "a mix of 24 hours" in in_english(learned(number(*weights, spread=0)))


def test_numbers_that_weigh_every_slot_by_itself_are_said_to_be_limited_by_their_bits() -> None:
    one, other = number(*range(1, 97)), number(*range(97, 1, -1))
    words = in_english(learned(one, other))
    assert "single quarter-hours by themselves" in words
    assert "limited by their 42 bits alone" in words
    assert "mix of" not in words
    assert learned(one, other).readings == 0  # not one was handed over
    assert learned(one, other).worked_out == 42 // 15  # a quarter-hour has 15 bits
    assert "At most 2 whole readings fit into them." in words
    assert learned(one).worked_out == 0


@pytest.mark.parametrize(
    ("registers", "about"),
    [
        ([""], "about your use ("),
        (["1-0:2.8.0*255"], "about what you fed in ("),
        (["", "1-0:2.8.0*255"], "about your use and what you fed in ("),
        (["1-0:3.8.0*255"], "about the registers 1-0:3.8.0*255 ("),
    ],
)
def test_it_says_of_which_register(registers: list[str], about: str) -> None:
    numbers = [number(*[1] * 2880, register=register) for register in registers]
    assert about in in_english(learned(*numbers))


def test_who_has_readings_is_said_to_have_them(device: Device) -> None:
    """Readings that were exported once stood below "Nothing has been released to anybody"."""
    count = export(device, "adviser", Period(date(2025, 3, 21), date(2025, 3, 31)), 60)
    assert count > 250
    words = said(device, "adviser")
    assert (
        f"The adviser knows {count} readings of single hours (21 Mar 2025 – 31 Mar 2025)." in words
    )
    assert "Those readings are known as they are." in words
    view = releases_view(device)
    assert view.readings_left_house == count
    assert view.last is not None
    assert view.last.recipient == "adviser"
    facts = disclosed_json(view, device.zone).as_json()["known"]["adviser"]
    assert (facts["exported_readings"], facts["nothing_finer_than_minutes"]) == (count, 60)
    export(device, "adviser", Period(date(2025, 3, 21), date(2025, 3, 31)), 60)
    assert f"knows {count} readings" in said(device, "adviser")  # the same ones, handed over again


def test_who_has_outputs_is_said_to_know_anything_that_fits_into_them(device: Device) -> None:
    put_out(device, 30)
    words = said(device, "clinic")
    assert "30 outputs daily of an applet that reads single hours (960 bits in all)" in words
    assert "may tell anything that fits into 960 bits" in words
    facts = disclosed_json(releases_view(device), device.zone).as_json()["known"]["clinic"]
    assert (facts["output_bits"], facts["nothing_finer_than_minutes"]) == (960, 60)


def test_who_has_a_sum_over_households_knows_nothing_of_this_one(device: Device) -> None:
    take_part(device)
    take_part(device, households=5)
    words = said(device, "operator")
    assert words == (
        "The operator knows 192 sums over 5 households or more."
        " Nothing about your household alone can be worked out from that."
    )
    facts = disclosed_json(releases_view(device), device.zone).as_json()["known"]["operator"]
    assert facts["nothing_finer_than_minutes"] is None


def test_all_together_know_what_each_has_and_what_follows_from_all(device: Device) -> None:
    tell(device, WEEKS[0])
    hours = export(device, "adviser", MONDAY, 60)
    put_out(device, 2)
    take_part(device)
    view = releases_view(device)
    assert list(view.known) == ["adviser", "clinic", "operator", "supplier"]
    words = said(device)
    assert words.startswith("All of them together know one number about your use")
    assert f", {hours} readings of single hours" in words
    assert "2 outputs daily" in words
    assert "96 sums" in words
    # Monday is known, so the number tells of the four other days alone.
    assert "a mix of 96 hours of your use" in words
    assert "single day" not in words
    assert "a mix of 120 hours" in said(device, "supplier")
    facts = disclosed_json(view, device.zone).as_json()
    assert facts["known"][TOGETHER]["nothing_finer_than_minutes"] == 60
    assert facts["raw_readings_left_house"] == hours


def test_samples_are_readings_and_are_taken_off_the_numbers(device: Device) -> None:
    begin, _ = WEEKS[0].bounds("Europe/Berlin")
    forms = [
        Form(begin, 900, tuple(int(place == at) for place in range(480)), is_sample=True)
        for at in (5, 100)
    ]
    who = (APPLET, b"package", "grid", "profiling")
    device.disclosure.grant(ConsentTerms(*who, "sample", 1, 195, 3, 20, UNTIL))
    numbers = tuple(Number("sample", (form,), 15) for form in forms)
    device.disclosure.permit(ReleaseRequest(*who, 5, numbers, bytes(32)))
    words = said(device, "grid")
    assert words.startswith("The grid knows 2 readings of single quarter-hours")
    assert "number" not in words
    tell(device, WEEKS[0])
    known = told_record(device).learned_by(["grid", "supplier"]).knowledge
    assert known.slots == 480
    assert known.least_seconds == 478 * 900


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_all_of_it(device: Device, language: str) -> None:
    tell(device, WEEKS[0])
    count = export(device, "adviser", MONDAY, 15)
    put_out(device, 2)
    take_part(device)
    view = releases_view(device)
    words = catalogue(language).for_pages(BERLIN)
    for one in (*view.known.values(), view.together):
        text = learned_in_words(one, words)
        assert "{" not in text
        assert text.endswith(".")
        assert one.recipient in text
    together = learned_in_words(view.together, words)
    for part in (words.number(count), "daily", "64", "96"):
        assert part in together
    for seconds in (300, 900, 1800, 3600, 86_400):
        assert unit_in_words(seconds, words)
    assert time_in_words(3600, words).startswith("60")
    assert time_in_words(7200, words).startswith("2")


def test_who_was_told_nothing_is_not_said_to_know_something() -> None:
    assert in_english(learned(name="Nordstrom eG")) == (
        "Nordstrom eG has learned nothing about your use."
    )
