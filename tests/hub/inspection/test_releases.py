# SPDX-License-Identifier: Apache-2.0
from datetime import date

import pytest

from hub.device import Device
from hub.disclosure import ConsentTerms, Form, LogTampered
from hub.inspection.api.json_releases import disclosed_json
from hub.inspection.errors import InspectionError
from hub.inspection.views.releases import decode_message, outgoing_message, releases_view
from protocols.metrology import Period
from tests.hub.inspection.conftest import APPLET
from tests.support.releases import sum_request

WEEKS = (Period(date(2025, 3, 20), date(2025, 3, 24)), Period(date(2025, 3, 25), date(2025, 3, 31)))


def tell(device: Device, period: Period, recipient: str = "supplier") -> int:
    """Release a sum over a period; the entry's number."""
    subject = (APPLET, b"package", recipient, "billing", "linear")
    if not any(one.terms.subject == subject for one in device.disclosure.consents()):
        device.disclosure.grant(ConsentTerms(*subject, 1, 60, 9, 64, date(2030, 1, 1)))
    begin, end = period.bounds("Europe/Berlin")
    form = Form(begin, 900, (1,) * ((end - begin) // 900))
    days = (period.last - period.first).days + 1
    request = sum_request(*subject[:4], days, form, bytes(32))
    return device.disclosure.permit(request).sequence


def say(device: Device, content: bytes, since: int | None) -> int:
    entry = device.disclosure.record_message(APPLET, "supplier", "billing", content, since)
    return entry.sequence


def test_releases_of_one_command_leave_with_its_message(device: Device) -> None:
    since = device.disclosure.log.length()
    first, second = (tell(device, period) for period in WEEKS)
    message = say(device, b"both", since)
    view = releases_view(device)
    assert [one.release.sequence for one in view.releases] == [first, second]
    assert [one.message and one.message.sequence for one in view.releases] == [message, message]
    assert [one.size for one in view.releases] == [4, 4]


def test_a_release_whose_command_failed_left_with_no_later_message(device: Device) -> None:
    tell(device, WEEKS[0])
    since = device.disclosure.log.length()
    other = say(device, b"something else", since)
    [one] = releases_view(device).releases
    assert (one.message, one.size) == (None, 0)
    assert outgoing_message(device, other)[1] == b"something else"


def test_in_an_older_log_the_first_message_after_a_release_is_taken(device: Device) -> None:
    tell(device, WEEKS[0])
    tell(device, WEEKS[1])
    message = say(device, b"one", None)
    sent = [one.message and one.message.sequence for one in releases_view(device).releases]
    assert sent == [None, message]


def test_each_recipient_s_knowledge_and_all_of_them_together(device: Device) -> None:
    tell(device, WEEKS[0], "supplier")
    tell(device, WEEKS[1], "operator")
    view = releases_view(device)
    assert view.recipients == ("operator", "supplier")
    assert (view.known["supplier"].numbers, view.together.numbers) == (1, 2)
    facts = disclosed_json(view, device.zone).as_json()
    assert facts["known"]["supplier"]["shortest_window"]["days"] == 5
    assert facts["known"]["operator"]["shortest_window"]["days"] == 6.96  # the clock went forward
    assert facts["known"]["all of them together"]["numbers"] == 2
    assert facts["known"]["all of them together"]["bundles"] == 2
    only = releases_view(device, "supplier")
    assert [one.release.recipient for one in only.releases] == ["supplier"]
    assert (one := only.releases[0]).begin < one.end


def test_a_message_is_decoded_as_far_as_it_is_sml(device: Device) -> None:
    assert decode_message(b"\x1b\x1b not SML") == ()
    with pytest.raises(InspectionError, match="entry 999 of the log is no message"):
        outgoing_message(device, 999)


def test_a_log_that_was_changed_shows_nothing(device: Device) -> None:
    tell(device, WEEKS[0])
    connection = device.database.connection
    connection.execute("DROP TRIGGER entry_is_never_changed")
    connection.execute("UPDATE disclosure_entry SET body = zeroblob(9) WHERE sequence = 1")
    with pytest.raises(LogTampered):
        releases_view(device)
