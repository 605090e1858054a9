# SPDX-License-Identifier: Apache-2.0
import re

from tests.support.pages import Browser

PATH = "/consents/readers"
TERMS = {
    "name": "pi",
    "purpose": "a chart in the hall",
    "register": "1-0:1.8.0*255",
    "live": "no",
    "minutes": "60",
    "first": "2025-03-01",
    "last": "2025-03-31",
    "until": "2099-12-31",
    "agreed": "yes",
}
SLOTS = "/api/v1/read/slots?from=2025-03-01&until=2025-03-02"


def test_a_reader_is_allowed_given_a_password_and_revoked(anna: Browser) -> None:
    assert "You allow no reader" in anna.get(PATH).text
    made = anna.post(f"{PATH}/allow", TERMS, page=PATH)
    assert made.status_code == 200
    found = re.search(r'<code id="token">(mlr_[^<]+)</code>', made.text)
    assert found is not None
    login = {"Authorization": f"Bearer {found[1]}"}
    page = anna.get(PATH).text
    assert "whenever" not in page
    assert "It fetches them itself with a login" in page
    assert found[1] not in page  # shown once
    read = anna.client.get(SLOTS, headers=login)
    assert len(read.json()["slots"]) == 48
    number = found[1].split("_")[1]
    weak = anna.post(f"{PATH}/{number}/password", page=PATH, passphrase="111111")
    assert weak.status_code == 400
    anna.post(f"{PATH}/{number}/password", page=PATH, passphrase="a long password")
    assert "log in with a password, too" in anna.get(PATH).text
    with_password = anna.client.get(SLOTS, auth=("pi", "a long password"))
    # A test client has no address on a network, and none on loopback: that is not taken.
    assert with_password.status_code == 403
    assert "pi" in anna.get("/releases").text
    anna.post(f"{PATH}/{number}/revoke", page=PATH)
    assert anna.client.get(SLOTS, headers=login).status_code == 401
    events = ["reader allowed", "reader password", "reader revoked"]
    assert [event for event in anna.happened() if event.startswith("reader")] == events


def test_what_cannot_be_allowed_is_said_at_its_field(anna: Browser) -> None:
    for wrong, reason in (
        ({"name": "Pi"}, "is no name"),
        ({"live": "yes"}, "live values are finer than 60 minutes"),
        ({"register": "7-1:3.0.0*255"}, "no such register"),
        ({"live": "perhaps"}, "none of the choices"),
        ({"last": "2025-02-01"}, "is before"),
        ({"agreed": ""}, "say that you know"),
    ):
        refused = anna.post(f"{PATH}/allow", {**TERMS, **wrong}, page=PATH)
        assert refused.status_code == 400
        assert reason in refused.text
    assert "You allow no reader" in anna.get(PATH).text


def test_who_may_only_look_allows_nobody(reader: Browser) -> None:
    assert reader.get(PATH).status_code == 403
    assert reader.post(f"{PATH}/allow", TERMS).status_code == 403
