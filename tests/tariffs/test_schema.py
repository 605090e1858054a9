# SPDX-License-Identifier: Apache-2.0
"""The published JSON schema takes what the compiler takes, and no key that it refuses."""

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

import tariffs
from tariffs import MalformedTariff
from tariffs.source import load_toml
from tests.tariffs.test_source import GOOD

ROOT = Path(__file__).resolve().parents[2]
SCHEMA: dict[str, Any] = json.loads((Path(tariffs.__file__).parent / "schema.json").read_text())
EXAMPLES = sorted((ROOT / "examples" / "tariffs").glob("*.toml"))
TYPES = {"object": dict, "array": list, "string": str, "integer": int}
NOTES = {"$schema", "$id", "$defs", "title", "description", "format"}


def problems(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield what is wrong with a value: the part of JSON Schema that the schema uses."""
    for key, rule in schema.items():
        match key:
            case "$ref":
                yield from problems(value, SCHEMA["$defs"][rule.removeprefix("#/$defs/")], path)
            case "type":
                if not isinstance(value, TYPES[rule]) or isinstance(value, bool):
                    yield f"{path} is not {rule}"
            case "const" | "enum":
                if value not in ([rule] if key == "const" else rule):
                    yield f"{path} is none of {rule}"
            case "pattern":
                if isinstance(value, str) and not re.search(rule, value):
                    yield f"{path} does not match {rule}"
            case "properties" if isinstance(value, dict):
                for name in value.keys() & rule.keys():
                    yield from problems(value[name], rule[name], f"{path}/{name}")
            case "additionalProperties" if isinstance(value, dict):
                for name in value.keys() - schema.get("properties", {}).keys():
                    inner = {"enum": []} if rule is False else rule
                    yield from problems(value[name], inner, f"{path}/{name}")
            case "required" if isinstance(value, dict):
                yield from (f"{path} lacks {name}" for name in rule if name not in value)
            case "items" if isinstance(value, list):
                for number, item in enumerate(value):
                    yield from problems(item, rule, f"{path}/{number}")
            case "anyOf" | "oneOf":
                fitting = [one for one in rule if not list(problems(value, one, path))]
                if not fitting or (key == "oneOf" and len(fitting) > 1):
                    yield f"{path} fits {len(fitting)} of {len(rule)}"
            case "minLength" | "minItems":
                if isinstance(value, str | list) and len(value) < rule:
                    yield f"{path} is too short"
            case "maxLength":
                if isinstance(value, str) and len(value) > rule:
                    yield f"{path} is too long"
            case "minimum" | "maximum":
                if isinstance(value, int) and (value < rule if key == "minimum" else value > rule):
                    yield f"{path} is out of range"
            case "properties" | "additionalProperties" | "required" | "items":
                pass
            case _:
                assert key in NOTES, f"the schema uses {key}, which this test does not know"


def as_json(value: Any) -> Any:
    match value:
        case dict():
            return {key: as_json(item) for key, item in value.items()}
        case list():
            return [as_json(item) for item in value]
        case datetime() | date():
            return value.isoformat()
    return value


def found(text: str) -> list[str]:
    return list(problems(as_json(tomllib.loads(text)), SCHEMA))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_schema_takes_every_example(path: Path) -> None:
    assert found(path.read_text()) == []


def keys_of(text: str) -> Iterator[tuple[int, str]]:
    for match in re.finditer(r"(?<![\w\"-])([a-z_]+)(?= = )", text):
        yield match.start(), match[0]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_schema_and_compiler_refuse_the_same_misspelt_keys(path: Path) -> None:
    text = re.sub(r"(?m)#.*$", "", path.read_text())
    for at, key in keys_of(text):
        changed = f"{text[:at]}{key}x{text[at + len(key) :]}"
        with pytest.raises(MalformedTariff):
            load_toml(changed)
        if "[seasons]" not in text[:at].rsplit("\n\n", 1)[-1]:
            assert found(changed), f"the schema takes {key}x"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("format = 1", "format = 2"),
        ("revision = 1", 'revision = "1"'),
        ('"EUR"', '"eur"'),
        ('"half-up"', '"up"'),
        ("decimals = 2", "decimals = 10"),
        ('"0.30"', "0.30"),
        ('"0.30"', '"0.3000001"'),
        ("Mon-Fri", "Mon-Tues"),
        ("06:00-22:00", "6-22"),
        ('kind = "energy"', 'kind = "power"'),
        ('kind = "tax"', 'kind = "duty"'),
        ('name = "night"\n', ""),
        ("valid_until = 2026-01-01\n", ""),
        ("[seasons]", '[holidays.x]\ncalendar = "Italy"\n[seasons]'),
    ],
)
def test_the_schema_refuses_what_the_compiler_refuses(old: str, new: str) -> None:
    assert found(GOOD) == []
    assert old in GOOD
    changed = GOOD.replace(old, new, 1)
    assert found(changed)
    with pytest.raises(MalformedTariff):
        load_toml(changed)


def test_the_source_in_the_documentation_compiles() -> None:
    pytest.importorskip("holidays")
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "tariffs.md").read_text(), re.DOTALL)
    head, bands, signal, versions, memory = blocks
    tariff = load_toml(head + bands)
    assert tariff.versions[0].charges[0].name == "energy"
    assert found(head + bands) == []
    heading = re.sub(r"(?m)^valid_.*$", "", head)
    assert len(load_toml(heading + versions).versions) == 2
    assert found(heading + versions) == []
    remembering = heading.partition("[holidays")[0] + memory
    shapes = load_toml(remembering).versions[0].memory_shapes
    assert set(shapes) == {"capacity", "duty", "budget plan"}
    assert found(remembering) == []
    charge = '[[charge]]\nname = "x"\nkind = "energy"\n'
    band = '[[charge.band]]\nname = "High"\nprice = "1"\n'
    csv = "start,band\n2025-01-01,High\n"
    assert load_toml(head + charge + signal + band, files=lambda _: csv).name == "de-day-night"
