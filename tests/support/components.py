# SPDX-License-Identifier: Apache-2.0
"""An applet and a library that it imports, as Python and as components made of text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import wasmtime

from hub.machine.bundle import Bundle
from hub.machine.library import Library
from tests.support.applet_machine import MANIFEST

COMPONENTS: Final = Path(__file__).parents[1] / "hub" / "machine" / "components"
COUNTER: Final = (COMPONENTS / "counter.wat").read_text()
TOOLS: Final = (COMPONENTS / "tools.wat").read_text()
SIGNER: Final = b"vendor"
PACKAGE: Final = bytes.fromhex("F0534D48EE")
LIBRARY: Final = """
kind = "library"
aid = "F0534D48EE"
name = "tools"
version = "{version}"
vendor = "Testers"

[code]
runtime = "{runtime}"
package = "tools"
"""
IMPORTED: Final = """
[[libraries]]
package = "F0534D48EE"
version = "1.2"
"""
APPLET: Final = """
from applets.sdk import Applet, Command, Response
from tools.sums import add, peek, remember

class Sample(Applet):
    def process(self, command: Command) -> Response:
        if command.ins == 1:
            return Response(peek(self.platform))
        if command.ins == 2:
            return Response(bytes([remember()]))
        return Response(bytes([add(command.data)]))
"""
SUMS: Final = """
_calls = []

def add(numbers):
    return sum(numbers) % 256

def remember():
    _calls.append(1)
    return len(_calls)

def peek(platform):
    return str(platform.readings.read("1-0:1.8.0*255", 0, 900)).encode()
"""
SHAPES: Final = """
    (instance $tools
      (export "work" (func (param "how" u32) (result u32)))
      (export "measure" (func (param "data" (list u8)) (result u32)))
      (export "fill" (func (param "length" u32) (result (list u8)))))
"""


def library(
    files: Mapping[str, bytes] | None = None,
    *,
    version: str = "1.2.0",
    runtime: str = "python",
    signer: bytes = SIGNER,
) -> Library:
    text = LIBRARY.format(version=version, runtime=runtime)
    return Library(
        text, files or {"tools/__init__.py": b"", "tools/sums.py": SUMS.encode()}, signer
    )


def applet(files: Mapping[str, bytes] | None = None, runtime: str = "python") -> Bundle:
    text = MANIFEST.format(limits="fuel = 3_000_000_000\nmemory_bytes = 67_108_864") + IMPORTED
    text = text.replace('runtime = "python"', f'runtime = "{runtime}"')
    return Bundle(text, files or {"sample/__init__.py": b"", "sample/applet.py": APPLET.encode()})


def importing(shapes: str = SHAPES, changes: Mapping[str, str] | None = None) -> bytes:
    """Return the counter as one that imports the tools: FE and a number let them work.

    `changes` are made to the text at last, each where its words first stand.
    """
    source = COUNTER.replace(
        "(core module $memory_of",
        f'(import "vendor:tools/tools@1.0.0" {shapes})\n  (core module $memory_of',
        1,
    )
    source = source.replace(
        "(core func $now",
        '(core func $work (canon lower (func $tools "work")))\n'
        '  (core func $measure (canon lower (func $tools "measure")'
        ' (memory (core memory $memory "memory"))))\n'
        '  (core func $fill (canon lower (func $tools "fill")'
        ' (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))\n'
        "  (core func $now",
        1,
    )
    source = source.replace(
        '(import "hub" "now"',
        '(import "hub" "fill" (func $fill (param i32 i32)))\n'
        '    (import "hub" "work" (func $work (param i32) (result i32)))\n'
        '    (import "hub" "measure" (func $measure (param i32 i32) (result i32)))\n'
        '    (import "hub" "now"',
        1,
    )
    source = source.replace(
        '(instance (export "now"',
        '(instance (export "work" (func $work)) (export "measure" (func $measure))'
        ' (export "fill" (func $fill)) (export "now"',
    )
    tail = """
            (i32.store16 (i32.const 84) (i32.const 0x0090))
            (return (call $answer (i32.const 0) (i32.const 80) (i32.const 6)))))
    """
    source = source.replace(
        "(local $out i32)",
        f"""(local $out i32)
      (if (i32.eq (i32.load8_u (local.get $command)) (i32.const 0xFE))
        (then
          (i32.store (i32.const 80) (call $work (i32.load8_u offset=1 (local.get $command))))
          {tail}
      (if (i32.eq (i32.load8_u (local.get $command)) (i32.const 0xFC))
        (then
          (call $fill (i32.shl (i32.load8_u offset=1 (local.get $command)) (i32.const 8))
            (i32.const 88))
          (i32.store (i32.const 80) (i32.load (i32.const 92)))
          {tail}
      (if (i32.eq (i32.load8_u (local.get $command)) (i32.const 0xFD))
        (then
          (i32.store (i32.const 80) (call $measure (local.get $command) (local.get $length)))
          {tail}""",
    )
    for old, new in (changes or {}).items():
        assert old in source
        source = source.replace(old, new, 1)
    return bytes(wasmtime.wat2wasm(source))


def tools(source: str = TOOLS) -> Library:
    code = bytes(wasmtime.wat2wasm(source))
    return library({"library.wasm": code}, runtime="component")
