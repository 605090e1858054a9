# SPDX-License-Identifier: Apache-2.0
"""Applets that attack the hub: each ends in a status word, and nobody else notices.

`applets/hostile.py` is the attacks' text. What each comes to is pinned, because it is the same
every time: fuel, memory and the interpreter inside are deterministic.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from hub.machine.bundle import Bundle
from hub.machine.errors import AppletFault, FaultKind
from hub.machine.instance import AppletInstance
from hub.machine.machine import AppletMachine
from tests.support.applet_machine import MANIFEST, Device, bundle, command

APPLETS: Final = Path(__file__).parent / "applets"
HOSTILE: Final = (APPLETS / "hostile.py").read_text()
AT_LOAD: Final = (APPLETS / "at_load.py").read_text()
LIMITS: Final = "fuel = 2_000_000_000\nmemory_bytes = 50_331_648"

OUTCOMES: Final[dict[FaultKind | bytes, str]] = {
    FaultKind.OUT_OF_FUEL: """
        loop loop_and_catch loop_in_c long_multiplication big_power slow_pattern copy_forever
        sort_forever generator_bomb call_the_clock_forever read_the_store_forever finally_forever
        take_it_in_small_pieces recurse_and_catch deep_pattern deep_chain huge_log huge_name
        huge_key huge_signature huge_weights
        put_traps_everywhere
    """,
    FaultKind.OUT_OF_MEMORY: """
        take_all_memory take_all_memory_and_catch wide_format deep_source
    """,
    FaultKind.TRAP: """
        recurse_without_a_limit recurse_in_c recurse_in_comparison recurse_in_getattr deep_json
        open_a_file_the_other_way find_os_anyway find_posix_in_the_import_system
        build_posix_again ask_the_time ask_for_randomness exit_the_process abort_the_process
        crash_the_interpreter wrong_types text_that_is_no_bytes
        wrong_numbers
    """,
    FaultKind.CRASH: """
        take_it_at_once double_a_string recurse import_os import_socket import_ctypes
        import_subprocess import_the_clock import_sleep import_random import_hub open_a_file
        write_a_file read_other_memory answer_text answer_a_list answer_bytes_that_are_not
        raise_exit raise_interrupt raise_base raise_generator_exit raise_what_cannot_be_shown
        raise_a_group raise_a_chain raise_from_surrogates odd_weights negative_function
        forged_function delete_everything load_itself_again
    """,
    FaultKind.BAD_ANSWER: """
        answer_a_little_too_long answer_too_long answer_text_that_is_no_bytes
    """,
    b"\x6a\x80": "statement_with_everything_wrong",
    b"\x90\x00": "answer_none_at_all surrogates flood_the_log replace_the_builtins",
    b"owned\x90\x00": "replace_the_runtime",
}
EXPECTED: Final = {name: end for end, names in OUTCOMES.items() for name in names.split()}

COUNTER: Final = """
count = 0
def process(self, command):
    Sample.count += 1
    return Response(str(Sample.count).encode())
"""


@pytest.fixture(scope="module")
def hostile() -> Bundle:
    files = {"sample/__init__.py": b"", "sample/applet.py": HOSTILE.encode()}
    return Bundle(MANIFEST.format(limits=LIMITS), files)


@pytest.fixture(scope="module")
def neighbour(machine: AppletMachine) -> AppletInstance:
    """Another applet, which has been alive since before the first attack."""
    applet = machine.instance(bundle(COUNTER), Device().platform)
    assert applet.process(command()) == b"1\x90\x00"
    return applet


def outcome(applet: AppletInstance, name: str) -> FaultKind | bytes:
    try:
        return applet.process(command(data=name.encode()))
    except AppletFault as fault:
        return fault.kind


def test_every_attack_is_expected_to_end_somehow() -> None:
    assert sorted(EXPECTED) == sorted(re.findall(r"^    def (\w+)\(self\):", HOSTILE, re.MULTILINE))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_attack_ends_and_nobody_else_notices(
    machine: AppletMachine, hostile: Bundle, neighbour: AppletInstance, name: str
) -> None:
    device = Device()
    applet = machine.instance(hostile, device.platform)
    before = int(neighbour.process(command())[:-2])
    assert outcome(applet, name) == EXPECTED[name]
    assert not device.household.released
    assert sum(map(len, device.log.lines)) <= 20_000
    assert neighbour.process(command()) == str(before + 1).encode() + b"\x90\x00"
    if isinstance(EXPECTED[name], FaultKind):
        assert not applet.is_started
    else:
        applet.discard()
    assert applet.process(command()) == b"polite\x90\x00"


EARLY: Final = {
    "while True: pass": FaultKind.OUT_OF_FUEL,
    "hoard = []\nwhile True: hoard.append(bytes(1 << 20))": FaultKind.OUT_OF_MEMORY,
    "import os": FaultKind.BAD_CODE,
    "sys.exit(0)": FaultKind.BAD_CODE,
    "raise BaseException": FaultKind.BAD_CODE,
    "def Applet(): pass": FaultKind.BAD_CODE,
    "sys.modules['wit_world.imports'].clock.now()": FaultKind.TRAP,
    "sys.modules['wit_world.imports'].calendar.grid()": FaultKind.TRAP,
    "sys.modules['wit_world.imports'].store.put(b'key', b'value')": FaultKind.TRAP,
    "sys.modules['wit_world.imports'].store.delete(b'key')": FaultKind.TRAP,
    "sys.modules['wit_world.imports'].statements.open_amounts"
    "('1-0:1.8.0*255', 0, 40 * 86_400, b'', b'')": FaultKind.TRAP,
}


@pytest.mark.parametrize("attack", EARLY)
def test_an_attack_at_load_ends_too(
    machine: AppletMachine, neighbour: AppletInstance, attack: str
) -> None:
    device = Device()
    device.store.kept[b"key"] = b"kept"
    applet = machine.instance(bundle(AT_LOAD.replace("ATTACK", attack), head=""), device.platform)
    before = int(neighbour.process(command())[:-2])
    for _ in range(2):
        assert outcome(applet, "") == EARLY[attack]
    assert device.store.kept == {b"key": b"kept"}
    assert not device.household.released
    assert neighbour.process(command()) == str(before + 1).encode() + b"\x90\x00"


@pytest.mark.parametrize(
    "source",
    [
        "(" * 100_000 + ")" * 100_000,
        "-" * 100_000 + "1",
        "x = " + "[" * 90 + "]" * 90 + "\n" + "y = 1 +" * 50_000 + "1",
        "lambda: " * 50_000 + "1",
        "a = 1\n" * 100_000,
        "\0",
        "\ufeff\ufeff",
        "# coding: rot13\n",
        "# coding: utf-16\n",
    ],
    ids=["parentheses", "signs", "sums", "lambdas", "lines", "nul", "marks", "coding", "wide"],
)
def test_source_that_attacks_the_compiler_is_bad_code(
    machine: AppletMachine, neighbour: AppletInstance, source: str
) -> None:
    applet = machine.instance(bundle(source, head=""), Device().platform)
    before = int(neighbour.process(command())[:-2])
    assert isinstance(outcome(applet, ""), FaultKind)
    assert neighbour.process(command()) == str(before + 1).encode() + b"\x90\x00"


def test_monkeypatches_reach_no_other_instance_of_the_same_applet(
    machine: AppletMachine, hostile: Bundle
) -> None:
    first = machine.instance(hostile, Device().platform)
    second = machine.instance(hostile, Device().platform)
    assert second.process(command()) == b"polite\x90\x00"
    assert outcome(first, "replace_the_runtime") == b"owned\x90\x00"
    assert second.process(command()) == b"polite\x90\x00"
    third = machine.instance(hostile, Device().platform)
    assert third.process(command()) == b"polite\x90\x00"


def test_the_log_tells_what_was_dropped_of_a_flood(machine: AppletMachine, hostile: Bundle) -> None:
    device = Device()
    applet = machine.instance(hostile, device.platform)
    outcome(applet, "flood_the_log")
    assert device.log.lines[0] == "x" * 1_000
    assert device.log.lines[-1] == "(the rest of the log was dropped)"


def test_a_raw_bytecode_fuzz_never_leaves_the_sandbox(
    machine: AppletMachine, neighbour: AppletInstance
) -> None:
    body = """
def process(self, command):
    code = (lambda a=1, b=2: (a, b, len, [a])).__code__
    return Response(repr(eval(code.replace(co_code=command.data), {})).encode()[:100])
"""
    applet = machine.instance(bundle(body, limits=LIMITS), Device().platform)
    state = 1
    for _ in range(150):
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 512) - 1
        with suppress(AppletFault):  # anything else would fail the test
            applet.process(command(data=state.to_bytes(64, "big")))
    assert neighbour.process(command()).endswith(b"\x90\x00")
