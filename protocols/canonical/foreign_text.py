# SPDX-License-Identifier: Apache-2.0
"""TOML, JSON and XML that others wrote: read in one place, and refused in one way.

The parsers of the standard library say in many ways that they do not want a text: with an error of
their own, with `ValueError` (a number of thousands of digits), with `LookupError` (an encoding that
there is not) and with `RecursionError` (nested thousands deep). Whoever catches one of them is
ended by the others. And what a parser just bears, the code behind it may not: it walks what was
read, with frames of its own. So depth has a limit far below both. What an applet reads within its
machine is not read here.
"""

import json
import tomllib
from collections.abc import Callable
from typing import Any, Final
from xml.etree import ElementTree

DEEPEST: Final = 64
"""So many tables, objects and arrays may lie within each other."""
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


class ForeignTextRefused(ValueError):
    """A text is not of its format, or larger in some way than anything that is meant."""


def read_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text; raise `ForeignTextRefused`.

    Integers have 64 bits at most, as TOML 1.0 says.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ForeignTextRefused(str(error)) from None
    except ValueError:
        raise ForeignTextRefused("a number or a date that there is not") from None
    except RecursionError:
        raise ForeignTextRefused("nested too deeply") from None
    _require_shallow(found, is_small=True)
    return found


def read_json(
    text: str | bytes,
    *,
    parse_float: Callable[[str], Any] | None = None,
    parse_int: Callable[[str], Any] | None = None,
    parse_constant: Callable[[str], Any] | None = None,
    object_hook: Callable[[dict[str, Any]], Any] | None = None,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """Return the value of a JSON text; raise `ForeignTextRefused`."""
    try:
        found = json.loads(
            text, parse_float=parse_float, parse_int=parse_int, parse_constant=parse_constant,
            object_hook=object_hook, object_pairs_hook=object_pairs_hook,
        )  # fmt: skip
    except json.JSONDecodeError as error:
        raise ForeignTextRefused(str(error)) from None
    except ValueError:  # digits by the thousand, or bytes that are no text
        raise ForeignTextRefused("a number that is too long, or no text") from None
    except RecursionError:
        raise ForeignTextRefused("nested too deeply") from None
    _require_shallow(found, is_small=False)
    return found


def _require_shallow(value: object, *, is_small: bool) -> None:
    """Raise for what lies too deep, or (`is_small`) an integer of more than 64 bits."""
    level: list[object] = [value]
    for _ in range(DEEPEST + 1):
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                below.extend(dict.values(one))  # of a hook's own class nothing is noted as read
            elif isinstance(one, list):
                below.extend(one)
            elif is_small and isinstance(one, int) and not _LEAST <= one <= _MOST:
                raise ForeignTextRefused("an integer of more than 64 bits")
        if not below:
            return
        level = below
    raise ForeignTextRefused("nested too deeply")


def read_xml(text: str | bytes) -> ElementTree.Element:
    """Return the root of an XML text without a document type; raise `ForeignTextRefused`."""
    marks = ("<!", "<!--", "<![CDATA[")
    if isinstance(text, str):
        has_type = marks[0] in text.replace(marks[1], "").replace(marks[2], "")
    else:
        begin, comment, quoted = (one.encode() for one in marks)
        has_type = begin in text.replace(comment, b"").replace(quoted, b"")
    if has_type:
        raise ForeignTextRefused("XML with a document type, which could hide anything")
    try:
        found = ElementTree.fromstring(text)  # noqa: S314  # without a document type: no entities
    except ElementTree.ParseError as error:
        raise ForeignTextRefused(f"not XML: {error}") from None
    except (ValueError, LookupError, RecursionError):
        raise ForeignTextRefused("not XML in an encoding that is known") from None
    level = [found]
    for _ in range(DEEPEST + 1):
        if not (level := [child for one in level for child in one]):
            return found
    raise ForeignTextRefused("nested too deeply")
