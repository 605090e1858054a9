# SPDX-License-Identifier: Apache-2.0
"""A small computer beside the meter reads what it is allowed, from the real server."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import run_meterlet, serving
from tests.support.readers import basic, bearer, make_home
from tests.support.waiting import PATIENCE

ALLOW = (
    "--purpose", "a chart in the hall", "--minutes", "15", "--from", "2025-03-24", "--until",
    "2025-03-30", "--holds-until", "2099-12-31",
)  # fmt: skip


def readers(hub: Path, *arguments: object, stdin: bytes | None = None) -> tuple[int, str, str]:
    done = run_meterlet("inspect", "readers", *arguments, "--hub", hub, stdin=stdin)
    return done.returncode, done.stdout, done.stderr


def get(address: str, headers: dict[str, str], body: object = None) -> tuple[int, Any]:
    """Return status and JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    make_home(tmp_path / "hub")
    return tmp_path / "hub"


def test_a_reader_reads_until_it_is_revoked(hub: Path, tmp_path: Path) -> None:
    code, token, said = readers(hub, "allow", "pi", *ALLOW, "--yes")
    assert code == 0, said
    assert "pi may get, for a chart in the hall: the readings of 1-0:1.8.0*255" in said
    (tmp_path / "password").write_text("correct horse battery\n")
    assert readers(hub, "password", "pi", "--password-file", tmp_path / "password")[0] == 0
    code, listed, _ = readers(hub, "list", "--json")
    [one] = json.loads(listed)["readers"]
    assert (one["name"], one["resolution_minutes"], one["password"]) == ("pi", 15, True)
    with serving("inspect", "serve", "--hub", hub, "--port", "0") as facts:
        api = facts["address"] + "api/v1"
        slots = f"{api}/read/slots?from=2025-03-24&until=2025-03-30"
        status, page = get(slots, bearer(token.strip()))
        assert (status, len(page["slots"])) == (200, 7 * 96 - 4)
        json_type = {"Content-Type": "application/json"}
        login = {"name": "pi", "password": "correct horse battery"}
        status, session = get(f"{api}/login", json_type, login)
        assert status == 200
        for headers in (bearer(session["token"]), basic("pi", "correct horse battery")):
            assert get(slots, headers) == (200, page)
        assert get(slots, basic("pi", "wrong horse battery"))[0] == 401
        releases = run_meterlet("inspect", "releases", "--hub", hub)
        assert "pi knows 668 readings of single quarter-hours" in releases.stdout, releases.stdout
        assert readers(hub, "revoke", "pi")[:2] == (
            0,
            "reader pi is revoked; what it has read it keeps\n",
        )
        assert get(slots, bearer(token.strip()))[0] == 401
    assert json.loads(readers(hub, "list", "--json")[1])["readers"] == []


def test_what_cannot_be_allowed_ends_with_a_line_and_its_exit_code(hub: Path) -> None:
    code, _, said = readers(hub, "allow", "pi", *ALLOW, stdin=b"n\n")
    assert (code, "nothing was allowed" in said) == (5, True)
    for wrong, exit_code, line in (
        (("Pi", *ALLOW, "--yes"), 1, "is no name"),
        (("pi", *ALLOW, "--register", "gas", "--yes"), 2, "not an OBIS code"),
        (("pi", *ALLOW, "--register", "7-0:3.0.0*255", "--yes"), 1, "no such register"),
        (("pi", *ALLOW, "--minutes", "60", "--live", "--yes"), 1, "live values are finer than 60"),
        (("pi", "--purpose", "x", "--yes"), 2, "say which period"),
    ):
        code, printed, said = readers(hub, "allow", *wrong)
        assert (code, printed) == (exit_code, ""), said
        assert line in said
    code, _, said = readers(hub, "revoke", "pi")
    assert (code, "there is no reader pi" in said) == (1, True)
    code, _, said = readers(hub, "password", "pi", "--password-file", "-", stdin=b"a password\n")
    assert (code, "there is no reader pi" in said) == (1, True)
    readers(hub, "allow", "pi", *ALLOW, "--yes")
    code, _, said = readers(hub, "password", "pi", "--password-file", "-", stdin=b"short\n")
    assert (code, "6 to 256 characters" in said) == (1, True)
