# SPDX-License-Identifier: Apache-2.0
"""Every command in README and docs does what the page says, in an empty folder.

`tests/docs/pages.py` says how a page is written. Ports that a page names are replaced by free ones.
"""

import os
import re
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import click
import pytest

from meterlet.commands.main import main
from tests.docs.pages import (
    RUN_ELSEWHERE,
    Command,
    CommandBlock,
    command_blocks,
    pages,
    pattern,
    text_of,
    unfenced,
)
from tests.support.quick_program import program_path
from tests.support.shared import SHARED
from tests.support.soak import IS_SOAKING
from tests.support.sockets import free_port
from tests.support.waiting import PATIENCE, wait_until

NOT_RUN: Final[Mapping[str, list[str]]] = {
    "CONTRIBUTING.md": ["not run: make targets"],
    "README.md": ["not run: make targets"],
    "docs/aggregation.md": [
        "not run: needs a region of hubs; tests/journeys/test_dialled_rounds.py does it",
        "not run: needs a broker and hubs; tests/journeys/test_dialled_rounds.py does it",
    ],
    "docs/another-home.md": ["not run: needs two suppliers' packages"],
    "docs/card.md": [
        "not run: needs PC/SC and a virtual reader",
        "not run: needs GlobalPlatformPro, PC/SC and a virtual reader",
        "not run: needs GlobalPlatformPro, PC/SC and a virtual reader",
    ],
    "docs/dialling-out.md": [
        "not run: needs a withdrawn certificate; tests/journeys/test_dialling.py does it",
        "not run: needs a broker; tests/journeys/test_waking.py does it",
    ],
    "docs/fleet-management.md": [
        "soak: the same as tests/journeys/test_rollouts.py",
        "soak: the same as tests/journeys/test_rollouts.py",
        "soak: the same as tests/journeys/test_rollouts.py",
        "soak: the same as tests/journeys/test_rollouts.py",
    ],
    "docs/fleet.md": [
        "soak: makes hubs for half a minute",
        "not run: takes a quarter of an hour",
    ],
    "docs/hub-run.md": ["not run: needs root and systemd"],
    "docs/inspection.md": [
        "not run: installs",
        "not run: needs a certificate and an address in the home's network",
    ],
    "docs/mdms.md": [
        "not run: needs weeks of sums and a feeder's meter; tests/journeys/test_mdms.py does it"
    ],
    "docs/meters.md": [
        *["not run: needs a meter"] * 7,
        "not run: needs a broker",
        "not run: needs a receiver",
        *["not run: needs a meter"] * 5,
        "not run: needs a receiver",
        "not run: needs a meter",
    ],
    "docs/python.md": ["not run: installs"],
    "docs/remote-reading.md": ["not run: ends with Ctrl-C"],
    "docs/settlement.md": [
        "not run: needs two groups of homes; tests/journeys/test_group_settlement.py does it",
        "not run: needs two groups of homes; tests/journeys/test_settlement.py does it",
    ],
    "docs/scale.md": [
        "not run: serves until it is stopped; tests/journeys/test_stack.py does it",
        "not run: needs the stack, and a certificate",
        "not run: needs a database",
        "not run: needs a database",
        "not run: needs a server of NATS; tests/journeys/test_pipeline.py does it",
        "not run: serves until it is stopped; tests/journeys/test_bills_once.py does it",
    ],
    "docs/utility-service.md": [
        "not run: needs a certificate of the service;"
        " tests/journeys/test_client_certificates.py does it",
        "not run: goes on from above",
    ],
}
"""What is not run, and why: whoever adds to it says so here."""
PORT: Final = re.compile(
    r"(?<=--port )\d+|(?<=--hubs-port )\d+|(?<=127\.0\.0\.1:)\d+|(?<=localhost:)\d+"
)
PROGRAM: Final = r"(?:meterlet|pip|make|curl|apt-get|python|cd|cp|openssl|pytest|opensc-tool)"
MARK: Final = "--- command ended with "
PAGE_SECONDS: Final = 6 * PATIENCE


def with_commands() -> list[str]:
    return [page for page in pages() if page not in RUN_ELSEWHERE and any(command_blocks(page))]


class Shell:
    """One bash for a page, in its folder."""

    def __init__(self, folder: Path, bash: subprocess.Popen[str]) -> None:
        assert bash.stdin is not None
        assert bash.stdout is not None
        self._folder = folder
        self._input: IO[str] = bash.stdin
        self._output: IO[str] = bash.stdout
        self._beside = 0

    def run(self, command: str) -> tuple[str, int]:
        """Return what a command prints, and its exit code."""
        # The code stays in $? for the command that comes next.
        after = f"code=$?; printf '\\n{MARK}%s\\n' $code; (exit $code)"
        print(f"{{ {command}\n}} < /dev/null\n{after}", file=self._input, flush=True)
        printed = ""
        for line in self._output:
            if line.startswith(MARK):
                return printed, int(line.removeprefix(MARK))
            printed += line
        raise AssertionError(f"{command}: the shell ended\n{printed}")

    def start(self, command: str, lines: int) -> str:
        """Start a command that goes on; return what it prints first, of so many lines at least."""
        self._beside += 1
        log = self._folder / f".beside-{self._beside}"
        self.run(f"{{ {command.removesuffix('&')}\n}} < /dev/null > {log} 2>&1 &")
        wait_until(
            lambda: log.exists() and log.read_text().count("\n") >= lines,
            f"all that {command} prints",
        )
        return log.read_text()


@contextmanager
def shell(folder: Path) -> Iterator[Shell]:
    home = folder / "home"
    inside = folder / "page"
    home.mkdir()
    inside.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("METERLET_")}
    machine_cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    environment = {
        **kept,
        "PATH": program_path(),
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": machine_cache,  # the applet machine takes a minute to build
        "NO_COLOR": "1",
        "COLUMNS": "100",
        "LC_ALL": "C.UTF-8",
    }
    bash = subprocess.Popen(
        ["bash", "--norc"],
        cwd=inside,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that what it started can be ended with it
    )
    late = threading.Timer(PAGE_SECONDS, os.killpg, (bash.pid, signal.SIGKILL))
    late.start()
    with bash:
        try:
            yield Shell(inside, bash)
        finally:
            late.cancel()
            os.killpg(bash.pid, signal.SIGTERM)
            assert bash.stdin is not None
            bash.stdin.close()


def data_for(block: CommandBlock) -> list[Path]:
    """Return the files that a block needs; none if one is missing."""
    paths = [next(SHARED.rglob(name), None) for name in block.why.split(", ")]
    return [path for path in paths if path is not None] if all(paths) else []


def left_out(block: CommandBlock) -> bool:
    match block.mark:
        case "soak":
            return not IS_SOAKING
        case "needs":
            return not data_for(block)
        case mark:
            return mark == "not run"


@pytest.mark.process
@pytest.mark.parametrize("page", with_commands())
def test_the_commands_of_a_page_do_what_it_says(page: str, tmp_path: Path) -> None:
    ports: dict[str, str] = defaultdict(lambda: str(free_port()))

    def with_ports(text: str) -> str:
        return PORT.sub(lambda port: ports[port[0]], text)

    with shell(tmp_path) as bash:
        for block in command_blocks(page):
            if left_out(block):
                continue
            for path in data_for(block) if block.mark == "needs" else ():
                bash.run(f"ln -sf '{path}' .")
            following = (*block.commands[1:], Command("", None))
            for command, then in zip(block.commands, following, strict=True):
                text = with_ports(command.text)
                assert "..." not in text, f"{page}: a placeholder in: {text}"
                least = len((command.output or "").splitlines()) or 1
                printed, code = (
                    (bash.start(text, least), 0) if text.endswith("&") else bash.run(text)
                )
                assert code == 0 or "$?" in then.text, (
                    f"{page}: $ {text}\n{printed}\nexit code {code}"
                )
                if command.output is not None:
                    lines = "\n".join(line.rstrip() for line in printed.splitlines()).strip()
                    assert pattern(with_ports(command.output)).fullmatch(lines), (
                        f"{page}: $ {text}\n{lines}\n--- instead of\n{command.output}"
                    )
    if missing := [
        block.why for block in command_blocks(page) if block.mark == "needs" and left_out(block)
    ]:
        pytest.skip(f"NO REAL DATA: {', '.join(missing)}; set METERLET_SHARED to run all of {page}")


def test_what_is_not_run_is_listed_here() -> None:
    marked = {
        page: [
            f"{block.mark}: {block.why}"
            for block in command_blocks(page)
            if block.mark in ("not run", "soak")
        ]
        for page in with_commands()
    }
    assert {page: marks for page, marks in marked.items() if marks} == NOT_RUN


@pytest.mark.parametrize("page", pages())
def test_commands_stand_in_blocks_of_their_own_kind(page: str) -> None:
    assert not re.findall(
        rf"^(?: {{4,}}|\$ )(?:\$ )?{PROGRAM} [^\n]*", unfenced(page), re.MULTILINE
    )


@pytest.mark.parametrize("page", pages())
def test_commands_that_the_prose_names_exist(page: str) -> None:
    for code in re.findall(r"`meterlet ([^`]+)`", text_of(page)):
        words = re.split(r"\s+", code)
        command: click.Command = main
        context = click.Context(main)
        while words and isinstance(command, click.Group):
            if words[0].startswith("-"):
                break
            found = command.get_command(context, words.pop(0))
            assert found is not None, f"meterlet {code}"
            command = found
        options = {option for parameter in command.params for option in parameter.opts}
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= options | {"--help"}, f"meterlet {code}"
