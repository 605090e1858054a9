# SPDX-License-Identifier: Apache-2.0
"""What a command leaves behind belongs to it, however many applets worked on it, and is kept."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hub
from hub.applet_host.command import REFUSALS, CommandRecord, CommandStack
from hub.applet_host.store import STORE_COMPONENT, AppletStore
from hub.disclosure import ReleaseRefused
from hub.machine.instance import AppletInstance
from hub.vault.database import Database
from protocols.platform.errors import Refusal, Refused
from tests.support.applet_commands import Sleeper, asleep


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "hub.db", [STORE_COMPONENT], key=bytes(32)) as database:
        yield database


def forgotten(*applets: AppletInstance) -> list[int]:
    return [applet.forgotten for applet in applets if isinstance(applet, Sleeper)]


def is_refused(stack: CommandStack) -> bool:
    try:
        stack.require_record()
    except Refused as refused:
        return refused.refusal is Refusal.MALFORMED
    return False


def test_a_call_between_applets_belongs_to_the_command_that_led_to_it(database: Database) -> None:
    stack, record = CommandStack(database), CommandRecord()
    client, server, later = asleep(), asleep(), asleep()
    with stack.entered(record, client, may_release=True):
        with stack.entered(stack.record, server):
            assert stack.record is record
        assert stack.record is record
    assert record.took_part == [client, server]
    following = CommandRecord()
    with stack.entered(following, later):
        assert stack.record is following
    assert (record.took_part, following.took_part) == ([client, server], [later])
    assert not stack.is_at_work


def test_only_the_applet_that_was_asked_releases_and_never_in_a_transaction(
    database: Database,
) -> None:
    stack = CommandStack(database)
    assert is_refused(stack)
    with stack.entered(CommandRecord(), asleep()):
        assert is_refused(stack)
    with database.transaction(), stack.entered(CommandRecord(), asleep(), may_release=True):
        assert not is_refused(stack)
        with stack.entered(stack.record, asleep(), may_release=True):
            assert is_refused(stack)
        stack.begin()
        assert is_refused(stack)
        stack.commit()
        assert not is_refused(stack)


def test_what_is_aborted_is_forgotten_by_those_who_took_part_in_it(database: Database) -> None:
    stack, record, store = CommandStack(database), CommandRecord(), AppletStore(database, b"a", 99)
    client, before, within = asleep(), asleep(), asleep()
    with database.transaction(), stack.entered(record, client, may_release=True):
        with stack.entered(record, before):
            pass
        stack.begin()
        with stack.entered(record, within):
            store.put(b"key", b"value")
        stack.abort()
        assert store.keys() == []
        assert forgotten(client, before, within) == [0, 0, 1]
    assert record.took_part == [client, before, within]  # nothing is struck from a record
    record.forget()
    assert forgotten(client, before, within) == [1, 1, 2]


def refused_rules() -> Iterator[str]:
    """Yield the rule of each `ReleaseRefused` that the hub's code makes."""
    for path in sorted(Path(hub.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text())
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id == "ReleaseRefused":
                rule = node.args[0]
                name = constants[rule.id] if isinstance(rule, ast.Name) else ast.literal_eval(rule)
                assert isinstance(name, str), path
                yield name


def test_an_applet_is_told_something_of_every_rule_that_it_can_be_refused_by(
    database: Database,
) -> None:
    rules = set(refused_rules())
    assert {"consent", "price", "limits", "custody", "round", "memory"} <= rules
    assert rules == REFUSALS.keys()
    for rule in sorted(rules):
        stack, record = CommandStack(database), CommandRecord()
        with stack.entered(record, asleep(), may_release=True):
            told = stack.refuse({}, ReleaseRefused(rule, "so it is"))
        assert 0x6900 <= told.status < 0x6B00, rule
        assert [str(refused) for _, refused in record.refused] == [f"{rule}: so it is"]
