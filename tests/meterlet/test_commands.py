# SPDX-License-Identifier: Apache-2.0
"""What all verbs have in common: JSON, help, refusals in one line, and completion in a shell."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
from click.testing import CliRunner, Result

from hub.errors import HubError
from hub.metering import PeriodIncomplete
from meterlet.commands.common import fail, one_line_errors
from meterlet.commands.main import main
from meterlet.commands.refusals import in_the_form_of, kind_of, refuse_abort
from tests.support.command import ROOT, environment

NO_RESULT: Final = {("inspect", "tui")}
"""A screen, not a verb that prints."""
MEMBERS: Final = {"schema", "kind", "message", "exit_code", "what_to_do"}


def verbs(
    group: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that does something."""
    if not isinstance(group, click.Group) or group.invoke_without_command:
        yield path, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from verbs(command, (*path, name))


VERBS: Final = dict(verbs())


def run(*arguments: object, data: bytes | None = None) -> Result:
    env = {"NO_COLOR": "1", "XDG_DATA_HOME": "/nowhere"}
    return CliRunner().invoke(main, [*map(str, arguments)], env=env, input=data)


def refusal(done: Result) -> dict[str, Any]:
    """Return the one object that a refusal is."""
    (line,) = done.stderr.splitlines()
    facts = json.loads(line)
    assert set(facts) == MEMBERS
    assert (facts["schema"], facts["exit_code"]) == ("meterlet.refusal/1", done.exit_code)
    assert all(facts[name] for name in MEMBERS)
    return dict(facts)


def test_every_verb_prints_json() -> None:
    assert len(VERBS) > 100
    without = {
        path
        for path, verb in VERBS.items()
        if not any("--json" in parameter.opts for parameter in verb.params)
    }
    assert without == NO_RESULT


def test_every_verb_option_and_argument_has_help() -> None:
    for path, verb in VERBS.items():
        assert verb.help, path
        for parameter in verb.params:
            text = getattr(parameter, "help", None) or ""
            assert len(text) > 1, (path, parameter.name)
            assert text.strip().endswith((".", ")")), (path, parameter.name)


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_a_wrong_command_line_is_one_line_or_one_object(path: tuple[str, ...]) -> None:
    said = run(*path, "--no-such-option")
    assert (said.exit_code, said.stdout) == (2, "")
    (line,) = said.stderr.splitlines()
    command = " ".join(("main", *path))
    assert line.startswith("meterlet: ")
    assert line.endswith(f"; see `{command} -h`")
    if path in NO_RESULT:
        return
    done = run(*path, "--json", "--no-such-option")
    assert (done.exit_code, done.stdout) == (2, "")
    facts = refusal(done)
    assert (facts["kind"], facts["what_to_do"]) == ("usage", f"see `{command} -h`")


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-noun", "--json"),
        ("hub", "no-such-verb", "--json"),
        ("--json",),
        ("tariff", "price", "--json"),
        ("tariff", "price", "a.toml", "b.csv", "--month", "2025-13", "--json"),
        ("sml", "check", "--json", "/nowhere"),
        ("inspect", "bill", "--json", "--proof", "--forecast"),
    ],
)
def test_whatever_is_wrong_with_the_words_is_an_object(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.exit_code, refusal(done)["kind"]) == (2, "usage")


def test_after_two_hyphens_it_is_a_files_name() -> None:
    done = run("tariff", "show", "--", "--json")
    assert done.stderr == "meterlet: --json: No such file or directory\n"


READERS: Final = (
    ("bill", "verify"),
    ("index", "show"),
    ("profile", "show"),
    ("sml", "check"),
    ("sml", "decode"),
    ("sml", "decode", "--stream"),
    ("sml", "encode", "--output", "made.bin"),
    ("sml", "watch", "--once"),
    ("hub", "probe"),
    ("tariff", "check"),
    ("tariff", "show"),
    ("tariff", "import", "pge"),
)


@pytest.mark.parametrize("garbage", [b"", b"a letter to the utility\n", bytes(range(256))])
@pytest.mark.parametrize("reader", READERS, ids=" ".join)
def test_garbage_is_never_fine(reader: tuple[str, ...], garbage: bytes, tmp_path: Path) -> None:
    file = tmp_path / "garbage"
    file.write_bytes(garbage)
    made = tmp_path / "made.bin"
    words = [str(made) if word == "made.bin" else word for word in reader]
    done = run(*words, file, "--json")
    if reader[:2] == ("sml", "encode") and not garbage:
        assert (done.exit_code, json.loads(done.stdout)["frames"]) == (0, 0), "no values, no frames"
        return
    assert done.exit_code in (1, 3, 4), done.output
    assert not made.exists()
    if done.stderr:
        assert refusal(done)["message"]
    else:
        assert json.loads(done.stdout), "the answer itself says what is wrong"


def test_the_kind_of_an_error_is_its_name_and_the_way_on_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def said(error: Exception) -> dict[str, Any]:
        with pytest.raises(SystemExit), one_line_errors():
            raise error
        return dict(json.loads(capsys.readouterr().err))

    with in_the_form_of(["hub", "status", "--json"]):
        incomplete = said(PeriodIncomplete("2025-03-01 is not certified yet"))
        assert (incomplete["kind"], incomplete["exit_code"]) == ("period-incomplete", 4)
        assert "meterlet hub status" in incomplete["what_to_do"]
        assert said(FileNotFoundError(2, "no such file", "x"))["kind"] == "file-not-found"
        assert said(OSError(28, "No space left on device"))["kind"] == "no-space-left"
        with pytest.raises(SystemExit):
            fail("one\ntwo")
        plain = json.loads(capsys.readouterr().err)
        assert (plain["kind"], plain["message"]) == ("failure", "one two")


def test_every_error_of_the_hub_has_a_kind_of_its_own() -> None:
    def errors(kind: type[Exception]) -> Iterator[type[Exception]]:
        for one in kind.__subclasses__():
            yield one
            yield from errors(one)

    ours = [one for one in errors(HubError) if one.__module__.split(".")[0] == "hub"]
    kinds = [kind_of(one.__new__(one)) for one in ours]
    assert len(set(kinds)) == len(kinds) > 30
    assert all(kind == kind.lower() and " " not in kind for kind in kinds)


def test_who_says_no_is_not_one_who_interrupts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as no:
        refuse_abort(click.Abort())
    with pytest.raises(SystemExit) as interrupted:
        refuse_abort(KeyboardInterrupt())
    assert (no.value.code, interrupted.value.code) == (1, 130)
    assert capsys.readouterr().err == "meterlet: stopped: nothing was done\nmeterlet: interrupted\n"


COMPLETE: Final = """
eval "$(_METERLET_COMPLETE=bash_source meterlet)"
complete -p meterlet
complete_words() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _meterlet_completion meterlet; echo "${COMPREPLY[@]}"
}
complete_words meterlet h
complete_words meterlet hub readings quarantine ""
complete_words meterlet tariff price --sep
complete_words meterlet tariff price --separator ""
"""


def test_bash_completes_nouns_verbs_options_and_values(tmp_path: Path) -> None:
    program = tmp_path / "meterlet"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m meterlet "$@"\n')
    program.chmod(0o755)
    env = environment()
    env |= {"PATH": f"{tmp_path}:{env['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE],
        capture_output=True, text=True, env=env, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "complete -o nosort -F _meterlet_completion meterlet",
        "hub",
        "accept drop list",
        "--separator",
        "comma semicolon tab bar",
    ]
