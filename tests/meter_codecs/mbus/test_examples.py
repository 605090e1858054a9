# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/m-bus.md do what they say."""

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs/m-bus.md"
BLOCK = re.compile(r"(<!-- not run[^\n]*\n)?```python\n(.*?)```", re.DOTALL)


def test_the_examples_print_what_their_comments_say() -> None:
    printed = io.StringIO()
    ran = ""
    for skipped, code in BLOCK.findall(PAGE.read_text()):
        if not skipped:
            ran += code
            with contextlib.redirect_stdout(printed):
                exec(compile(code, PAGE.name, "exec"), {})
    promised = re.findall(r"print\(.*\)  # (.+)", ran)
    assert len(promised) == 3
    assert all(line in printed.getvalue().splitlines() for line in promised)
