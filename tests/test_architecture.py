# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: every sentence is a contract, every contract can be broken; no circles."""

import ast
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest
from grimp import ImportGraph, build_graph
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.independence import IndependenceContract
from importlinter.contracts.layers import LayersContract
from importlinter.contracts.protected import ProtectedContract

from tests.support.waiting import PATIENCE

ROOT: Final = Path(__file__).resolve().parents[1]
TYPES: Final[Mapping[str, Any]] = {
    "forbidden": ForbiddenContract,
    "independence": IndependenceContract,
    "layers": LayersContract,
    "protected": ProtectedContract,
}
CONFIGURATION: Final = read_configuration(str(ROOT / "pyproject.toml"))
PACKAGES: Final = tuple(CONFIGURATION["session_options"]["root_packages"])
CONTRACTS: Final = {options["name"]: options for options in CONFIGURATION["contracts_options"]}

BREACHES: Final = {
    "Nothing imports the command but the command itself": [
        ("hub.device", "meterlet.commands.common"),
        ("utility_server.head_end", "meterlet.demo.fleet"),
        ("applets.billing.messages", "meterlet.commands.main"),
        ("protocols.enrolment", "meterlet.commands.main"),
    ],
    "Codecs, tariffs and protocols do not import each other, but tariffs the canonical encoding": [
        ("tariffs.document", "protocols.proofs.group"),
        ("protocols.enrolment", "tariffs.document"),
        ("sml_codec.codec", "protocols.enrolment"),
        ("sml_codec.codec", "protocols.canonical.cbor"),
        ("meter_codecs", "sml_codec.codec"),
        ("dlms_codec.stream", "sml_codec.crc"),
        ("protocols.canonical.cose", "tariffs.errors"),
    ],
    "The canonical encoding imports no other protocol": [
        ("protocols.canonical.signing", "protocols.enrolment"),
        ("protocols.canonical.cbor", "protocols.proofs.group"),
    ],
    "What an applet carries of the canonical encoding imports no library": [
        ("protocols.canonical.cbor", "cbor2"),
        ("protocols.canonical.cose", "protocols.canonical.signing"),
    ],
    "Codecs, tariffs and protocols import no other package of ours": [
        ("tariffs.document", "hub.errors"),
        ("protocols.enrolment", "utility_server.errors"),
        ("sml_codec.codec", "applets.common.questions"),
        ("meter_codecs", "hub.errors"),
        ("dlms_codec.security", "hub.errors"),
    ],
    "Listeners import no other package of ours": [
        ("listeners.acceptor", "protocols.errors"),
        ("listeners.pages", "hub.page_address"),
    ],
    "Tariffs and protocols import no socket, clock, file, database or random source": [
        ("tariffs.source", "pathlib"),
        ("protocols.enrolment", "time"),
        ("protocols.proofs.amounts", "secrets"),
        ("protocols.iso7816.apdu", "socket"),
        ("tariffs.document", "sqlite3"),
    ],
    "Of the codecs only sources, lines, clients and servers import sockets and files": [
        ("sml_codec.codec", "asyncio"),
        ("sml_codec.frames", "pathlib"),
        ("sml_codec.stream", "socket"),
        ("meter_codecs", "asyncio"),
        ("dlms_codec.hdlc", "socket"),
    ],
    "The hub imports neither applets nor the utility": [
        ("hub.applet_host.services", "applets.billing.messages"),
        ("hub.inspection.views.bill", "utility_server.retail.ledger"),
    ],
    "Of the hub only inspection imports tariffs": [
        ("hub.disclosure.guard", "tariffs.document"),
        ("hub.text", "tariffs"),
    ],
    "The hub has layers": [
        ("hub.vault.vault", "hub.certifier.certifier"),
        ("hub.disclosure.guard", "hub.card.registry"),
        ("hub.card.state", "hub.machine.machine"),
        ("hub.device", "hub.installer"),
        ("hub.errors", "hub.readings"),
    ],
    "The card has layers": [
        ("hub.card.state", "hub.card.connection"),
        ("hub.card.commands.select", "hub.card.connection"),
        ("hub.card.commands.delete", "hub.card.open"),
    ],
    "Inspection has layers": [
        ("hub.inspection.views.bill", "hub.inspection.web.parts"),
        ("hub.inspection.attack.attack", "hub.inspection.export.copies"),
        ("hub.inspection.api.operations", "hub.inspection.tui"),
    ],
    "The pages have layers": [
        ("hub.inspection.web.access.sessions", "hub.inspection.web.pages.bills"),
        ("hub.inspection.web.pages.bills", "hub.inspection.web.application"),
    ],
    "An applet does not import another; all share common and sdk, which import none of them": [
        ("applets.billing.applet", "applets.profiling.messages"),
        ("applets.settlement.statement", "applets.billing.statement"),
        ("applets.common.questions", "applets.billing.messages"),
        ("applets.sdk.apdu", "applets.common.questions"),
    ],
    "Applets import neither the hub nor the utility": [
        ("applets.sdk.testing", "hub.machine.manifest"),
        ("applets.aggregation.statement", "utility_server.errors"),
    ],
    "What runs in the hub does not import the statement that its recipient checks": [
        ("applets.billing.applet", "applets.billing.statement"),
        ("applets.settlement.messages", "applets.settlement.statement"),
    ],
    "The utility imports of applets only statements, messages and what they have in common": [
        ("utility_server.retail.settlement", "applets.billing.applet"),
        ("utility_server.retail.ledger", "applets.profiling.profiles"),
        ("utility_server.head_end", "applets.sdk.apdu"),
    ],
    "The utility imports nothing of the hub": [
        ("utility_server.head_end", "hub.card.status"),
        ("utility_server.errors", "hub.errors"),
    ],
    "Only the service's own commands import the service": [
        ("utility_server.retail.utility", "utility_server.service.parts"),
        ("meterlet.commands.utility", "utility_server.service.access.roles"),
    ],
    "The service has layers": [
        ("utility_server.service.jobs.store", "utility_server.service.api.problems"),
        ("utility_server.service.api.paging", "utility_server.service.console.pages"),
        ("utility_server.service.access.roles", "utility_server.service.jobs.store"),
    ],
    "The utility has layers": [
        ("utility_server.retail.ledger", "utility_server.grid.rpc"),
        ("utility_server.keys", "utility_server.head_end"),
    ],
}
"""Imports that nobody may add, by the contract that forbids them."""


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    packages = CONFIGURATION["session_options"]["root_packages"]
    return build_graph(*packages, include_external_packages=True, cache_dir=None)


def is_kept(options: dict[str, Any], graph: ImportGraph) -> bool:
    contract = TYPES[options["type"]](options["name"], CONFIGURATION["session_options"], options)
    kept: bool = contract.check(deepcopy(graph), verbose=False).kept
    return kept


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_is_kept_and_each_import_against_it_breaks_it(
    name: str, graph: ImportGraph
) -> None:
    assert is_kept(CONTRACTS[name], graph)
    for importer, imported in BREACHES[name]:
        assert importer in graph.modules
        broken = deepcopy(graph)
        broken.add_import(importer=importer, imported=imported)
        assert not is_kept(CONTRACTS[name], broken), (importer, imported)


def test_the_sentences_of_the_architecture_are_the_contracts() -> None:
    section = (ROOT / "ARCHITECTURE.md").read_text().split("## Who may import whom")[1]
    text = re.sub(r"\s+", " ", section.split("\n## ")[0].replace("`", ""))
    said = re.findall(r"\* (.+?)[.:](?= |$)", text)
    assert said == list(CONTRACTS)
    assert BREACHES.keys() == CONTRACTS.keys()


def layers_said() -> Iterator[str]:
    section = (ROOT / "ARCHITECTURE.md").read_text().split("## Who may import whom")[1]
    for line in section.split("\n## ")[0].splitlines():
        if line.startswith("      "):
            yield line.strip()


def test_the_layers_of_the_architecture_are_those_of_the_contracts() -> None:
    layers = (options.get("layers", []) for options in CONTRACTS.values())
    assert list(layers_said()) == [layer for contract in layers for layer in contract]


def circle(graph: ImportGraph) -> list[str]:
    """Return modules that import each other in a circle; imports for type checkers count, too."""
    packages = CONFIGURATION["session_options"]["root_packages"]
    imports = {
        module: graph.find_modules_directly_imported_by(module)
        for module in graph.modules
        if module.partition(".")[0] in packages
    }
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_by_way_of_others(graph: ImportGraph) -> None:
    assert circle(graph) == []
    broken = deepcopy(graph)
    broken.add_import(importer="hub.card.state", imported="hub.card.connection")
    assert {"hub.card.state", "hub.card.connection"} <= set(circle(broken))


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def listed(tree: ast.Module) -> list[str] | None:
    """The names in a module's `__all__`, None where it has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return None


def test_a_package_lists_what_it_offers_and_a_module_lists_nothing() -> None:
    """A module's public names are those without an underscore; only a package spells them out."""
    for path in modules():
        names = listed(ast.parse(path.read_text()))
        if path.name != "__init__.py":
            assert names is None, path
        elif names is not None:
            package = import_module(".".join(path.parent.relative_to(ROOT).parts))
            assert len(set(names)) == len(names), path
            assert all(hasattr(package, name) for name in names), path


IMPORT_OF_TESTS: Final = re.compile(r"^ *from (tests\S*) import|^ *import (tests\S*)", re.MULTILINE)


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_what_several_folders_of_tests_use_lives_in_their_support(folder: str) -> None:
    """A test imports from its own folder and from `tests.support`; a benchmark from the latter."""
    for path in (ROOT / folder).rglob("*.py"):
        own = ".".join(path.relative_to(ROOT).parent.parts)
        for match in IMPORT_OF_TESTS.finditer(path.read_text()):
            module = match[1] or match[2]
            assert {module, module.rpartition(".")[0]} & {"tests.support", own}, path


WAITING: Final = {"wait", "wait_for", "join", "result", "communicate", "settimeout", "timeout"}
"""Calls whose number is how long is waited, whatever it is called."""
STEP_SECONDS: Final = 1
"""Shorter is a step between two looks, or a limit that a test has set low to see it at work."""
CLIENT_SECONDS: Final = 10
"""The least that a part of the product waits for another on a busy computer."""


def seconds_waited(call: ast.Call) -> Iterator[float]:
    """Yield the bare numbers by which a call limits a wait."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    given = list(call.args) if name in WAITING else []
    for keyword in call.keywords:
        if re.search("timeout|patience", keyword.arg or ""):
            given.append(keyword.value)
    for value in given:
        if isinstance(value, ast.Constant) and isinstance(value.value, int | float):
            yield value.value


def seconds_asserted(comparison: ast.Compare) -> Iterator[float]:
    """Yield the bare numbers that a span of the wall clock is compared with."""
    if re.search(r"\b(monotonic|perf_counter|time\.time)\(\) - ", ast.unparse(comparison.left)):
        for value in comparison.comparators:
            if isinstance(value, ast.Constant) and isinstance(value.value, int | float):
                yield value.value


def test_who_waits_in_a_test_has_the_patience_of_all() -> None:
    """No test fails because the computer is busy: it waits as `tests.support.waiting` says."""
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                short = [s for s in seconds_waited(node) if STEP_SECONDS <= s < PATIENCE]
                assert not short, f"{path}:{node.lineno}: wait {PATIENCE=} seconds"
            if isinstance(node, ast.Compare):
                assert not [*seconds_asserted(node)], f"{path}:{node.lineno}: a span of the clock"


def test_what_the_product_waits_for_may_take_its_time() -> None:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                short = [s for s in seconds_waited(node) if STEP_SECONDS <= s < CLIENT_SECONDS]
                assert not short, f"{path}:{node.lineno}"


def test_a_wait_that_is_too_short_is_found() -> None:
    text = "process.wait(30); run(['x'], timeout=5); ended.wait(0.02); wait(1, timeout=300)"
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    assert [s for call in calls for s in seconds_waited(call)] == [30, 5, 0.02, 1, 300]
    span = ast.parse("time.monotonic() - start < 1", mode="eval").body
    assert isinstance(span, ast.Compare)
    assert [*seconds_asserted(span)] == [1]
