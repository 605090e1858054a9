# SPDX-License-Identifier: Apache-2.0
"""Holds JSON against the part of JSON Schema (2020-12) that our OpenAPI document uses."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
DATE = r"\d{4}-\d\d-\d\d"
MOMENT = DATE + r"T\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)"
KEYWORDS = {
    "type", "properties", "required", "additionalProperties", "items", "anyOf", "$ref", "format",
    "enum", "description",
}  # fmt: skip


def faults(value: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any], at: str) -> list[str]:
    """What is wrong with a value, each with its place; a keyword that is not known is a bug."""
    assert set(schema) <= KEYWORDS, f"{at}: {set(schema) - KEYWORDS}"
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        return faults(value, schemas[name], schemas, f"{at}<{name}>")
    if "anyOf" in schema:
        tried = [faults(value, one, schemas, at) for one in schema["anyOf"]]
        return [] if [] in tried else min(tried, key=len)
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{at}: {value!r} is none of {schema['enum']}"]
    kind = schema["type"]
    fits: bool = isinstance(value, TYPES[kind])
    if not fits or (isinstance(value, bool) and kind != "boolean"):
        return [f"{at}: {value!r} is no {kind}"]
    if kind == "object":
        return _members(value, schema, schemas, at)
    if kind == "array":
        return [
            fault
            for number, item in enumerate(value)
            for fault in faults(item, schema["items"], schemas, f"{at}[{number}]")
        ]
    return _form(str(value), schema.get("format"), at)


def _form(text: str, form: str | None, at: str) -> list[str]:
    pattern = {"date": DATE, "date-time": MOMENT, None: ".*"}[form]
    if not re.fullmatch(pattern, text, re.DOTALL):
        return [f"{at}: {text!r} is no {form}"]
    if form is not None:
        datetime.fromisoformat(text)
    return []


def _members(
    value: Mapping[str, Any], schema: Mapping[str, Any], schemas: Mapping[str, Any], at: str
) -> list[str]:
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = [f"{at}: no {name}" for name in schema.get("required", []) if name not in value]
    for name, member in value.items():
        if name in known:
            found += faults(member, known[name], schemas, f"{at}.{name}")
        elif more is False:
            found.append(f"{at}: {name} is too many")
        elif isinstance(more, Mapping):
            found += faults(member, more, schemas, f"{at}.{name}")
    return found
