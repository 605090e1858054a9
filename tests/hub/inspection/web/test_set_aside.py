# SPDX-License-Identifier: Apache-2.0
"""The page of what was set aside: all residents see it, the owner decides; in four languages."""

import pytest

from hub.device import Device
from hub.inspection.locales.catalogue import LANGUAGES, catalogue
from hub.meters.odd import Odd, OddTelegram
from hub.readings import ReadingFlag, Readout
from tests.support.pages import Browser


def set_aside(browser: Browser, *kinds: Odd) -> None:
    """Set telegrams aside: an hour after the last reading each, and one of another meter."""
    with Device.open(browser.folder, now=lambda: 2**33) as device:
        last = device.last_readout()
        assert last is not None
        shown = {code: one.register_wh + 5 for code, one in last.readings.items()}
        device.quarantine.add(
            [
                OddTelegram(
                    kind, "for people", 0, last.time, device.mounted_meter, last.time + n, shown
                )
                for n, kind in enumerate(kinds, start=1)
            ]
        )


def test_what_is_set_aside_is_shown_accepted_and_dropped(anna: Browser) -> None:
    assert "Nothing is set aside" in anna.get("/set-aside").text
    assert 'id="set-aside"' not in anna.get("/readings").text
    set_aside(anna, Odd.LEAPT, Odd.STEPPED)
    assert "Telegrams of the meter are set aside: 2." in anna.get("/readings").text
    page = anna.get("/set-aside").text
    assert "more than can flow through your fuse" in page
    assert anna.post("/set-aside/1/accept").status_code == 200
    assert anna.post("/set-aside/2/drop").status_code == 200
    assert anna.post("/set-aside/2/drop").status_code == 409
    assert "Nothing is set aside" in anna.get("/set-aside").text


def test_a_reader_sees_and_does_not_decide(reader: Browser) -> None:
    set_aside(reader, Odd.FELL)
    page = reader.get("/set-aside").text
    assert "shows less than before" in page
    assert "/set-aside/1/drop" not in page
    assert reader.post("/set-aside/1/drop").status_code == 403
    assert "shows less than before" in reader.get("/set-aside").text


def test_a_locked_meter_is_told_with_what_to_do(anna: Browser) -> None:
    with Device.open(anna.folder, now=lambda: 2**33) as device:
        last = device.last_readout()
        assert last is not None
        later = {
            code: type(one)(one.time + 60, one.register_wh, ReadingFlag.COARSE)
            for code, one in last.readings.items()
        }
        device.store([Readout(later)])
    assert "Unlock it with its PIN" in anna.get("/readings").text


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_kind_has_its_words_in_each_language(language: str) -> None:
    words = {catalogue(language).texts[f"pages.set_aside.kind_{k.replace('-', '_')}"] for k in Odd}
    assert len(words) == len(Odd)
