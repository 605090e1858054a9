# SPDX-License-Identifier: Apache-2.0
"""docs/applets.md, followed to the letter: every file written, every command run, in order.

    ```sh                       run by bash; the ```text that follows is what it prints
    ```python PATH              the file PATH
    ```python PATH NAME         imports, and the function NAME, which replaces the file's own
    ```python PATH +            goes to the end of the file
    ```toml                     tables that a manifest may have
    ```python                   an excerpt: stands in a file that there is already

In a ```text, `...` stands for anything.
"""

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from hub.machine.manifest import Manifest
from tests.support.applet_machine import MANIFEST
from tests.support.quick_program import program_path
from tests.support.sockets import free_port
from tests.support.waiting import PATIENCE

ROOT: Final = Path(__file__).resolve().parents[3]
PAGE: Final = ROOT / "docs" / "applets.md"
BLOCK: Final = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT: Final = "7816"


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    where: list[str]
    text: str


def blocks() -> Iterator[Block]:
    for language, where, text in BLOCK.findall(PAGE.read_text()):
        yield Block(language, where.split(), text)


def shell(script: str, folder: Path) -> str:
    environment = {
        **os.environ,
        "PATH": program_path(),
        "PYTHONPATH": f"{ROOT}{os.pathsep}.",
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
        "NO_COLOR": "1",
        "XDG_DATA_HOME": str(folder / "home"),
    }
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    return done.stdout


def write(block: Block, folder: Path) -> None:
    path = folder / block.where[0]
    match block.where[1:]:
        case []:
            path.write_text(block.text)
        case ["+"]:
            path.write_text(f"{path.read_text()}\n\n{block.text}")
        case [name]:
            path.write_text(replaced(path.read_text(), block.text, name))


def replaced(module: str, text: str, name: str) -> str:
    imports, function = text.split(f"def {name}(")
    lines = module.splitlines(keepends=True)
    body = ast.parse(module).body
    old = next(node for node in body if isinstance(node, ast.FunctionDef) and node.name == name)
    first = next(node for node in body if isinstance(node, ast.Import))
    assert old.end_lineno is not None
    lines[old.lineno - 1 : old.end_lineno] = [f"def {name}({function}"]
    lines.insert(first.lineno - 1, imports.strip() + "\n")
    return "".join(lines)


def statements(text: str) -> set[str]:
    return {ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)}


def pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*?".join(map(re.escape, text.strip().split("..."))), re.DOTALL)


@pytest.mark.process
def test_the_tutorial_works_as_it_is_written(tmp_path: Path) -> None:
    from meterlet.commands.applet import applet

    if "run" not in applet.commands:
        pytest.skip("`meterlet applet` does not offer new, key and run yet")
    port, printed = str(free_port()), ""
    for block in blocks():
        match block.language:
            case "sh":
                printed = shell(block.text.replace(PORT, port), tmp_path)
            case "text":
                assert pattern(block.text).search(printed), f"{block.text}\n--- printed:\n{printed}"
            case "python" if block.where:
                write(block, tmp_path)
            case "python":
                assert any(
                    statements(block.text) <= statements(path.read_text())
                    for path in tmp_path.rglob("*.py")
                )
            case "toml":
                Manifest.from_toml(MANIFEST.format(limits="") + block.text)
            case language:
                pytest.fail(f"a block of {language}")


def test_the_page_has_the_blocks_it_promises() -> None:
    assert {block.language for block in blocks()} == {"sh", "text", "toml", "python"}
    assert sum(block.language == "sh" for block in blocks()) >= 10


def test_the_page_names_every_key_of_a_manifest() -> None:
    from dataclasses import fields

    from hub.machine.manifest import AppletLimits, Code, Output, Peer, Shared, StatementGrant

    page = PAGE.read_text()
    for kind in (Manifest, Code, StatementGrant, Output, Peer, Shared, AppletLimits):
        for key in fields(kind):
            assert re.search(rf"`[^`\n]*\b{key.name}\b[^`\n]*`", page), key.name


def test_the_page_names_every_service() -> None:
    from applets.sdk import Platform

    page = PAGE.read_text()
    for service in Platform.__slots__:
        assert f"`{service}." in page
