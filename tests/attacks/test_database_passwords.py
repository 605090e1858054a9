# SPDX-License-Identifier: Apache-2.0
"""The database's password is in no argument that others can read, and in no message."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result

from meterlet.commands.main import main
from meterlet.commands.utility_database import DATABASE_VARIABLE
from utility_server.errors import StoreError
from utility_server.locations import database_url, may_be_seen

SECRET: Final = "TOPSECRET"
REFUSED: Final = (
    "postgresql://u:TOP@TOPSECRET@127.0.0.1:1/db",
    "postgresql://u:TOP@TOPSECRET@/db",
    "postgresql://u/x:TOPSECRET@127.0.0.1:1/db",
    "postgresql://u:TOPSECRET",
    "postgresql://u:TOPSECRET@127.0.0.1:port/db",
    "postgresql://u:TOPSECRET@127.0.0.1:1/db?nosuch=1",
    "postgresql://u:x@127.0.0.1:1/db?TOPSECRET=1",
    "postgresql://u@127.0.0.1:1/db?password=TOPSECRET",
    "postgresql://u@127.0.0.1:1/db?sslpassword=TOPSECRET",
    "postgresql://u:TOP%00TOPSECRET@127.0.0.1:1/db",
    "postgresql://u%00:TOPSECRET@127.0.0.1:1/db",
    "postgresql://u:x@127.0.0.1:1/db?options=-c%00TOPSECRET",
    "postgresql+psycopg2://u:TOPSECRET@127.0.0.1:1/db",
    "postgresql+TOPSECRET://u:TOPSECRET@127.0.0.1:1/db",
    "mysql://u:TOPSECRET@h/db",
)
NOT_AS_ARGUMENT: Final = (
    "postgresql://u:TOPSECRET@127.0.0.1:1/db",
    "postgresql://:TOPSECRET@127.0.0.1:1/db",
    "postgresql://u@127.0.0.1:1/db?options=-cTOPSECRET%3D1",
    "postgresql://u@127.0.0.1:1/db?options=-csearch_path%3Dx%20-cTOPSECRET%3D1",
    "postgresql://u@127.0.0.1:1/db?passfile=TOPSECRET",
    "postgresql://u@127.0.0.1:1/db?options=-csearch_path%3Dx&options=TOPSECRET",
)


def init(
    folder: Path, *arguments: str, variables: Mapping[str, str | None] | None = None
) -> Result:
    return CliRunner().invoke(main, ["utility", "init", str(folder), *arguments], env=variables)


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_in_which_a_password_may_have_slid_is_refused_and_not_shown(
    url: str, tmp_path: Path
) -> None:
    with pytest.raises(StoreError) as refused:
        database_url(url)
    assert SECRET not in str(refused.value)
    ended = init(tmp_path / "u", variables={DATABASE_VARIABLE: url})
    assert ended.exit_code != 0
    assert SECRET not in ended.output
    assert not (tmp_path / "u").exists()


@pytest.mark.parametrize("url", NOT_AS_ARGUMENT)
def test_an_argument_says_no_password_wherever_it_stands(url: str, tmp_path: Path) -> None:
    assert not may_be_seen(database_url(url))
    ended = init(tmp_path / "u", "--database", url)
    assert (ended.exit_code, SECRET in ended.output) == (2, False), ended.output
    assert "others can read" in ended.output


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@127.0.0.1:1/db", "postgresql://u@/db?host=/run/postgresql",
        "postgresql://u@h/db?options=-csearch_path%3Dx", "postgresql://[::1]:5/db",
        "postgresql+psycopg://u@h/db?sslmode=verify-full&sslrootcert=/etc/ca.pem",
    ],
)  # fmt: skip
def test_what_others_may_read_can_be_an_argument(url: str) -> None:
    assert may_be_seen(database_url(url))


def test_an_escaped_password_reaches_the_driver_whole_and_no_message() -> None:
    url = database_url("postgresql://u:%40%3A%2F%3F%23%25@h:5/db?options=-cstatement_timeout%3D9")
    assert (url.password, url.host, url.port, url.database) == ("@:/?#%", "h", 5, "db")
