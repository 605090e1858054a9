# SPDX-License-Identifier: Apache-2.0
"""The table as WIT, for components in any language.

python -m protocols.platform.wit > hub/machine/wit/platform.wit
"""

import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from inspect import getdoc

from protocols.platform.errors import Refusal
from protocols.platform.table import (
    EXPORTS,
    IMPORTS,
    Kind,
    PlatformCall,
    PlatformInterface,
    RecordType,
    kebab,
)

_HEAD = """\
// SPDX-License-Identifier: Apache-2.0
// Made by protocols/platform/wit.py of the rows in protocols/platform/services.py.

/// What an applet may ask of the hub, and what the hub asks of an applet.
///
/// Whole arrays cross as bytes: a call costs about 20 µs, however much it carries. Integers in
/// them are packed little-endian, 8 bytes each, signed. Times are seconds since
/// 1970-01-01T00:00:00Z, energy is whole watt-hours, a period is [begin, end).
package meterlet:platform@0.1.0;
"""


def platform_wit(imports: Sequence[PlatformInterface] = IMPORTS) -> str:
    """Return the contract's text."""
    refusal = [*_doc(Refusal), "enum refusal {", *(f"    {one.value}," for one in Refusal), "}"]
    lines = [_HEAD, "interface types {", *_indented(refusal), "}"]
    for interface in (*imports, *EXPORTS):
        lines += ["", *_doc(interface.service), f"interface {interface.name} {{"]
        lines += [*_indented(_items(interface)), "}"]
    lines += ["", "world applet-world {", *(f"    import {one.name};" for one in imports)]
    lines += ["    export applet;", "}"]
    for world, base, export in (
        ("sharing-applet-world", "applet-world", "sharing"),
        ("python-runtime", "sharing-applet-world", "python"),
    ):
        lines += ["", f"world {world} {{", f"    include {base};", f"    export {export};", "}"]
    return "\n".join(lines) + "\n"


def _items(interface: PlatformInterface) -> Iterator[str]:
    if any(call.error == "refusal" for call in interface.calls.values()):
        yield from ("use types.{refusal};", "")
    for call in interface.calls.values():
        if isinstance(call.result, RecordType):
            yield from _doc(call.result.value_class)
            yield f"record {_type(call.result)} {{"
            yield from (f"    {kebab(name)}: {leaf.wit}," for name, leaf in call.result.fields)
            yield from ("}", "")
    for name, call in interface.calls.items():
        yield from _comment([*call.doc.splitlines(), *_conditions(call)])
        parameters = ", ".join(f"{kebab(one)}: {leaf.wit}" for one, leaf in call.parameters.items())
        result = f" -> {_type(call.result)}" if call.result else ""
        if call.error:
            result = f" -> result<{_type(call.result)}, {call.error}>"
        yield from textwrap.wrap(
            f"{name}: func({parameters}){result};", 96, subsequent_indent="    ",
            break_on_hyphens=False,
        )  # fmt: skip


def _conditions(call: PlatformCall) -> Iterator[str]:
    for name, size in call.sizes.items():
        least = f"{size.least} to" if size.least else "at most"
        yield f"`{kebab(name)}` has {least} {size.most} bytes."
    if call.needs.value:
        yield f"The manifest must say: {call.needs.value}."
    if 0 < len(call.refusals) < len(Refusal):
        yield f"May be refused: {', '.join(one.value for one in call.refusals)}."


def _type(kind: Kind) -> str:
    if not isinstance(kind, RecordType):
        return kind.wit if kind else "_"
    words = re.findall("[A-Z][a-z]*", kind.value_class.__name__)
    # A record cannot be called as a function of its interface; then the class names it.
    return str(getattr(kind.value_class, "record", "-".join(words).lower()))


def _doc(documented: object) -> Iterator[str]:
    return _comment((getdoc(documented) or "").splitlines())


def _comment(lines: Sequence[str]) -> Iterator[str]:
    return (f"/// {line}".rstrip() for line in lines)


def _indented(lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    return (f"    {line}".rstrip() for line in lines)


if __name__ == "__main__":
    sys.stdout.write(platform_wit())
