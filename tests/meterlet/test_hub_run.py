# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub run`, before anything of it begins."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from meterlet.commands.hub_run import PAGES_LIBRARIES, SCHEME_LIBRARIES
from meterlet.commands.main import main
from meterlet.extras import EXTRAS


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], env={"NO_COLOR": "1"})


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    assert run("hub", "init", tmp_path / "hub", "--serial", 1).exit_code == 0
    return tmp_path / "hub"


def with_tables(hub: Path, text: str) -> None:
    path = hub / "hub.toml"
    path.write_text(path.read_text() + text)


@pytest.mark.parametrize(
    ("table", "library", "extra"),
    [
        ('[pages]\naddress = "127.0.0.1:0"\n', "uvicorn", "pages"),
        ('[sources.a]\naddress = "serial:///dev/ttyUSB0"\n', "serial", "serial"),
        ('[sources.a]\naddress = "mqtt://192.0.2.1/x"\n', "aiomqtt", "mqtt"),
        ('[recipients.a]\naddress = "https://a"\nwake = "mqtts://a"\n', "paho", "mqtt"),
    ],
)
def test_what_is_not_installed_is_said_before_anything_begins(
    hub: Path, monkeypatch: pytest.MonkeyPatch, table: str, library: str, extra: str
) -> None:
    with_tables(hub, table)
    assert run("hub", "run", "--hub", hub, "--check").exit_code == 0
    monkeypatch.setattr(
        "meterlet.commands.hub_run.find_spec", lambda name: None if name == library else object()
    )
    for arguments in (("--check",), ()):
        done = run("hub", "run", "--hub", hub, *arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == (
            f"meterlet: this needs the {extra} extra: pip install 'meterlet[{extra}]'\n"
        )


def test_every_library_that_is_asked_for_is_known_by_its_extra() -> None:
    assert {*PAGES_LIBRARIES, *SCHEME_LIBRARIES.values()} <= EXTRAS.keys()


def test_a_refusal_of_the_file_is_one_object_with_json(hub: Path) -> None:
    with_tables(hub, '[serve]\nadress = "127.0.0.1:0"\n')
    done = run("hub", "run", "--hub", hub, "--check", "--json")
    assert (done.exit_code, done.stdout) == (1, "")
    facts = json.loads(done.stderr)
    assert facts["kind"] == "configuration-refused"
    assert facts["message"].startswith("hub.toml, line ")
    assert "did you mean address?" in facts["message"]
    assert facts["what_to_do"].endswith("--check` looks again")


def test_a_folder_without_a_hub_is_named(tmp_path: Path) -> None:
    done = run("hub", "run", "--hub", tmp_path / "nowhere")
    assert done.exit_code == 1
    assert "nowhere: there is no hub; `meterlet hub init` makes one" in done.stderr


def test_a_hub_whose_description_is_gone_is_no_folder_without_one(tmp_path: Path) -> None:
    (tmp_path / "hub.db").touch()
    for command in (["hub", "run"], ["hub", "status"]):
        done = run(*command, "--hub", tmp_path)
        assert done.exit_code == 1
        assert "hub.toml is missing, though the hub is here: put it back" in done.stderr
