# SPDX-License-Identifier: Apache-2.0
"""The pages of the documentation, taken apart into blocks.

    ```sh                       commands that succeed; what they print is not compared
    ```console                  commands after `$ `, each with what it prints; `...` is anything
    <!-- not run: REASON -->    before a block: the test does not run it
    <!-- soak: REASON -->       ... only with METERLET_SOAK=1
    <!-- run: as a script -->   before a ```python: a script of its own
    <!-- needs: FILES -->        ... only where real data are, all FILES among them

A command that ends in `&` goes on beside the others. One whose exit code the next command prints
(`echo $?`) may fail, no other. Nothing after a command in a `console` block: it is not compared.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
RUN_ELSEWHERE: Final = {"docs/applets.md": "tests/applets/sdk/test_tutorial.py"}
FENCE: Final = re.compile(
    r"(?:^<!-- (not run|soak|needs|run): ([^\n]+) -->\n+)?^( *)```(\w*)[^\n]*\n(.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
PROMPT: Final = "$ "


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and what the page says it prints; None: nothing is said."""

    text: str
    output: str | None


@dataclass(frozen=True, slots=True)
class CommandBlock:
    """A block of commands."""

    commands: tuple[Command, ...]
    mark: str
    """`not run`, `soak`, `needs`, or nothing."""
    why: str


def pages() -> list[str]:
    """Return the names of all pages, from the root."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def text_of(page: str) -> str:
    """Return a page's source."""
    return (ROOT / page).read_text("utf-8")


def command_blocks(page: str) -> Iterator[CommandBlock]:
    """Yield the blocks of commands, in order."""
    for mark, why, _, language, text in FENCE.findall(text_of(page)):
        if language == "sh":
            commands = tuple(Command(line, None) for line in _joined(text.splitlines()))
            yield CommandBlock(commands, mark, why)
        elif language == "python" and mark == "run":
            yield CommandBlock((Command(f"python - <<'END'\n{text}END", None),), mark, why)
        elif language == "console":
            yield CommandBlock(tuple(_prompted(text)), mark, why)


def _joined(lines: list[str]) -> Iterator[str]:
    """Yield whole commands: a backslash, a loop or a here-document goes on in the next line."""
    command, end = "", ""
    for line in lines:
        command += line
        if begun := re.search(r"<<'?(\w+)", line):
            end = begun[1]
        loop = re.match(r"(?:for|while|until)\b", command) and not re.search(r"\bdone\b", command)
        if line.endswith("\\") or loop or (end and line != end):
            command += "\n"
        else:
            if command.strip() and not command.startswith("#"):
                yield command
            command, end = "", ""
    assert not command, f"unfinished: {command}"


def _prompted(text: str) -> Iterator[Command]:
    first, *parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not first, f"output before the first command: {first}"
    for part in parts:
        lines = part.splitlines()
        command = next(_joined_prefix(lines))
        output = "\n".join(lines[command.count("\n") + 1 :]).strip("\n")
        yield Command(command, output or None)


def _joined_prefix(lines: list[str]) -> Iterator[str]:
    for count in range(1, len(lines) + 1):
        try:
            yield from _joined(lines[:count])
        except AssertionError:
            continue


def pattern(expected: str) -> re.Pattern[str]:
    """Return what matches an expected output in which `...` stands for anything."""
    parts = re.split(r"\.\.\. *", expected.strip())  # blanks after it fill a table's column
    return re.compile(".*?".join(map(re.escape, parts)), re.DOTALL)


def unfenced(page: str) -> str:
    """Return a page without its blocks of commands."""
    return FENCE.sub(
        lambda block: block[0] if block[4] not in ("sh", "console") else "", text_of(page)
    )
