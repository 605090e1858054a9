# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility api-key`, `operator`, `audit` and `serve`, as an operator says them."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from meterlet.commands.main import main
from tests.support.service import new_utility

PASSWORD = "correct horse battery"


@pytest.fixture
def utility(tmp_path: Path) -> Path:
    return new_utility(tmp_path / "utility")


def run(*arguments: object, data: str = "") -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], input=data, env={"NO_COLOR": "1"})


def told(*arguments: object, data: str = "") -> dict[str, Any]:
    done = run(*arguments, "--json", data=data)
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_a_key_is_shown_once_and_revoked(utility: Path) -> None:
    where = "--utility", utility
    made = told("utility", "api-key", "create", "bank", *where, "--role", "billing", "--days", 1)
    (listed,) = told("utility", "api-key", "list", *where)["keys"]
    assert (listed["counts"], "secret" in listed) == (True, False)
    assert made["secret"][21:].encode() not in (utility / "utility.db").read_bytes()
    assert told("utility", "api-key", "revoke", made["key"], *where)["revoked"]
    (listed,) = told("utility", "api-key", "list", *where)["keys"]
    assert listed["counts"] is False
    refused = run("utility", "api-key", "revoke", "0" * 16, *where)
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert run("utility", "api-key", "create", "x", *where, "--role", "king").exit_code == 2


def test_a_second_factor_is_shown_once_and_taken_away(utility: Path) -> None:
    where = "--utility", utility
    add = "utility", "operator", "add", "anna", *where, "--role", "billing", "--password-file", "-"
    assert run("utility", "operator", "add-factor", "anna", *where).exit_code == 1
    told(*add, data=f"{PASSWORD}\n")
    made = told("utility", "operator", "add-factor", "anna", *where)
    assert made["uri"].startswith(f"otpauth://totp/Meterlet:anna?secret={made['secret']}&")
    assert len({*made["recovery_codes"]}) == 10
    (listed,) = told("utility", "operator", "list", *where)["operators"]
    assert (listed["second_factor"], listed["recovery_codes"]) == (True, 10)
    again = run("utility", "operator", "add-factor", "anna", *where)
    assert made["secret"] not in again.output
    told("utility", "operator", "remove-factor", "anna", *where)
    assert run("utility", "operator", "remove-factor", "anna", *where).exit_code == 1
    (listed,) = told("utility", "operator", "list", *where)["operators"]
    assert (listed["second_factor"], listed["recovery_codes"]) == (False, 0)
    assert made["secret"] not in run("utility", "audit", *where).output


def test_an_operator_is_added_and_removed_and_all_is_on_record(utility: Path) -> None:
    where = "--utility", utility
    add = "utility", "operator", "add", "anna", *where, "--role", "billing", "--password-file", "-"
    weak = run(*add, data="short\n")
    assert (weak.exit_code, "short" in weak.output) == (1, False)
    told(*add, data=f"{PASSWORD}\n")
    assert told("utility", "operator", "list", *where)["operators"] == [
        {"name": "anna", "roles": ["billing"], "second_factor": False, "recovery_codes": 0}
    ]
    again = run(*add, data=f"{PASSWORD} again\n")
    assert (again.exit_code, "operator change" in again.output) == (1, True)
    assert run("utility", "operator", "change", "anna", *where).exit_code == 2
    changed = told("utility", "operator", "change", "anna", *where, "--role", "auditor")
    assert changed["roles"] == ["auditor"]
    told("utility", "operator", "remove", "anna", *where)
    assert run("utility", "operator", "remove", "anna", *where).exit_code == 1
    actions = [
        (one["action"], one["outcome"])
        for one in told("utility", "audit", *where)["entries"]
        if one["target"] == "operator=anna"
    ]
    assert actions == [
        ("add_operator", "begun"), ("add_operator", "refused"), ("add_operator", "begun"),
        ("add_operator", "done"), ("add_operator", "begun"), ("add_operator", "refused"),
        ("change_operator", "begun"), ("change_operator", "done"), ("remove_operator", "begun"),
        ("remove_operator", "done"), ("remove_operator", "begun"), ("remove_operator", "refused"),
    ]  # fmt: skip


def test_a_service_that_would_be_open_to_all_is_not_started(utility: Path, tmp_path: Path) -> None:
    serve = "utility", "serve", "--utility", utility, "--no-hubs"
    assert "not loopback" in run(*serve, "--host", "192.0.2.1").stderr
    assert "needs both" in run(*serve, "--tls-cert", utility / "public.pem").stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = run(*serve, "--port", taken.getsockname()[1])
    assert (refused.exit_code, "Address already in use" in refused.stderr) == (1, True)
    (utility / "service.toml").write_text("[oidc]\nissuer = 'http://evil.example'\n")
    refused = run(*serve, "--port", 0)
    assert (refused.exit_code, "https://" in refused.stderr) == (1, True)
    assert run("utility", "serve", "--utility", tmp_path / "none", "--port", 0).exit_code == 1


def test_where_there_is_no_utility_no_port_is_tried(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("utility", "serve", "--utility", tmp_path / "nowhere", "--port", port)
    assert done.exit_code == 1
    assert "nowhere: there is no utility; `meterlet utility init` makes one" in done.stderr
