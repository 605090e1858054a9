# SPDX-License-Identifier: Apache-2.0
"""The table as WIT, for components in any language.

python -m protocols.platform.wit > hub/machine/wit/platform.wit
"""

import re
import sys
import textwrap
from collections.abc import Iterator
from inspect import getdoc

from protocols.platform.errors import Refusal
from protocols.platform.table import (
    EXPORTS,
    IMPORTS,
    Kind,
    ListType,
    OptionType,
    PlatformCall,
    PlatformInterface,
    RecordType,
    kebab,
)

__all__ = ["platform_wit", "record_name"]

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
_WORLDS = """
world sharing-applet-world {
    include applet-world;
    export sharing;
}

world python-runtime {
    include sharing-applet-world;
    export python;
}
"""


def platform_wit(
    imports: tuple[PlatformInterface, ...] = IMPORTS,
    exports: tuple[PlatformInterface, ...] = EXPORTS,
) -> str:
    """Return the contract's text."""
    cases = [f"        {refusal.value}," for refusal in Refusal]
    types = ["interface types {", *_doc(Refusal, 4), "    enum refusal {", *cases, "    }", "}"]
    world = [f"    import {one.name};" for one in imports]
    blocks = [
        types,
        *(list(_interface(one)) for one in (*imports, *exports)),
        ["world applet-world {", *world, "    export applet;", "}"],
    ]
    return "\n".join([_HEAD, *("\n".join(block) + "\n" for block in blocks)]) + _WORLDS


def record_name(record: RecordType) -> str:
    """Return the record's name: its class's, or what the class says where a call is called so."""
    words = re.findall("[A-Z][a-z]*", record.value_class.__name__)
    return str(getattr(record.value_class, "record", "-".join(words).lower()))


def _interface(interface: PlatformInterface) -> Iterator[str]:
    yield from _doc(interface.service, 0)
    yield f"interface {interface.name} {{"
    if any(call.error == "refusal" for call in interface.calls):
        yield from ("    use types.{refusal};", "")
    for call in interface.calls:
        if isinstance(call.result, RecordType):
            yield from _doc(call.result.value_class, 4)
            yield f"    record {record_name(call.result)} {{"
            for name, kind in call.result.wit_fields:
                yield f"        {name}: {_type(kind)},"
            yield from ("    }", "")
    for call in interface.calls:
        yield from _comment([*call.doc.splitlines(), *_conditions(call)], 4)
        yield from textwrap.wrap(
            _signature(call),
            100,
            initial_indent=" " * 4,
            subsequent_indent=" " * 8,
            break_on_hyphens=False,
        )
    yield "}"


def _signature(call: PlatformCall) -> str:
    parameters = ", ".join(f"{kebab(one.name)}: {_type(one.kind)}" for one in call.parameters)
    result = None if call.result is None else _type(call.result)
    if call.error:
        result = f"result<{result or '_'}, {call.error}>"
    return f"{call.name}: func({parameters}){f' -> {result}' if result else ''};"


def _conditions(call: PlatformCall) -> Iterator[str]:
    for one in call.parameters:
        if one.size is not None:
            least = f"{one.size.least} to" if one.size.least else "at most"
            yield f"`{kebab(one.name)}` has {least} {one.size.most} bytes."
    if call.row.needs.value:
        yield f"The manifest must say: {call.row.needs.value}."
    if 0 < len(call.row.refusals) < len(Refusal):
        yield f"May be refused: {', '.join(one.value for one in call.row.refusals)}."


def _type(kind: Kind) -> str:
    match kind:
        case ListType():
            return f"list<{_type(kind.element)}>"
        case OptionType():
            return f"option<{_type(kind.some)}>"
        case RecordType():
            return record_name(kind)
        case _:
            return kind.wit


def _doc(documented: object, indent: int) -> Iterator[str]:
    yield from _comment((getdoc(documented) or "").splitlines(), indent)


def _comment(lines: list[str], indent: int) -> Iterator[str]:
    for line in lines:
        yield f"{' ' * indent}/// {line}".rstrip()


if __name__ == "__main__":
    sys.stdout.write(platform_wit())
