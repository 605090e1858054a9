# SPDX-License-Identifier: Apache-2.0
import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.installer import terms_of
from hub.machine.errors import ManifestError
from hub.machine.manifest import (
    AppletLimits,
    Code,
    Confinement,
    Manifest,
    Output,
    Peer,
    Runtime,
    Shared,
    StatementGrant,
)
from tests.support.applet_machine import MANIFEST, RAW_MANIFEST

STATEMENT = MANIFEST.format(limits="fuel = 1_000_000")
RAW = RAW_MANIFEST.format(limits="")
WITH_DEMAND = "within_days = 31\npublished = 240"


def test_a_manifest_says_what_its_vendor_wrote() -> None:
    assert Manifest.from_toml(STATEMENT) == Manifest(
        aid=bytes.fromhex("F0534D4881"),
        name="sample",
        version="1.0.0",
        vendor="Testers",
        recipient="supplier",
        purpose="testing",
        confinement=Confinement.STATEMENT,
        expires=date(2099, 12, 31),
        code=Code(Runtime.PYTHON, "sample"),
        statements=(StatementGrant("linear", ("1-0:1.8.0*255",), 7, 4, 31),),
        limits=AppletLimits(fuel=1_000_000),
    )


def test_a_raw_manifest_names_its_outputs_and_how_fine_it_reads() -> None:
    manifest = Manifest.from_toml(RAW)
    assert manifest.outputs == (Output("hours", 4, 24),)
    assert manifest.resolution_minutes == 15


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('aid = "F0534D4881"\n', "", "aid"),
        ("F0534D4881", "F0534D488", "aid"),
        ("F0534D4881", "f0534d4881", "aid"),
        ("F0534D4881", "00" * 17, "aid"),
        ('name = "sample"', 'name = "Sample"', "name"),
        ('name = "sample"', "name = 7", "name"),
        ("1.0.0", "1.0", "version"),
        ("1.0.0", "1.00.0", "version"),
        ('"Testers"', '"Test\\u001b[31mers"', "vendor"),
        ('"Testers"', '""', "vendor"),
        ('"statement"', '"none"', "confinement"),
        ('"statement"', '"raw"', "statements"),
        ("2099-12-31", '"soon"', "expires"),
        ("2099-12-31", '"2099-02-31"', "expires"),
        ("2099-12-31", "2099-12-31T00:00:00Z", "expires"),
        ("[code]", "extra = 1\n[code]", "extra"),
        ('runtime = "python"', 'runtime = "java"', "code.runtime"),
        ('package = "sample"', 'package = "../sample"', "code.package"),
        ('package = "sample"', 'package = "sample"\nextra = 1', "code.extra"),
        ('package = "sample"', 'package = "sample"\ninclude = ["a", "a"]', "code.include"),
        ('package = "sample"', 'package = "sample"\ninclude = "a"', "code.include"),
        ('"linear"', '"everything"', "statements[0].kind"),
        ("1-0:1.8.0*255", "all", "statements[0].registers"),
        ("minimum_days = 7", "minimum_days = 0", "statements[0].minimum_days"),
        ("minimum_days = 7", "minimum_days = true", "statements[0].minimum_days"),
        ("minimum_days = 7", "minimum_days = 7.0", "statements[0].minimum_days"),
        ("at_most = 4\n", "", "statements[0].at_most"),
        ("fuel = 1_000_000", "fuel = 1", "limits.fuel"),
        ("fuel = 1_000_000", "fool = 1", "limits.fool"),
        ("fuel = 1_000_000", "memory_bytes = 10_000_000_000", "limits.memory_bytes"),
        ('aid = "F0534D4881"', "resolution_minutes = 15\naid = 'F0534D4881'", "resolution_minutes"),
        (
            "[[statements]]",
            "[[outputs]]\nname='x'\nsize=1\nevery_hours=1\n[[statements]]",
            "outputs",
        ),
        ("[code]", "[code", "manifest.toml"),
        ("[[statements]]", "[statements]", "statements"),
        ("[limits]", "[[limits]]", "limits"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, key: str) -> None:
    assert old in STATEMENT
    with pytest.raises(ManifestError) as caught:
        Manifest.from_toml(STATEMENT.replace(old, new, 1))
    assert caught.value.key == key
    assert str(caught.value).startswith(f"manifest: {key}: ")


PEERS = '[[peers]]\naid = "F0534D4899"\nservices = [1, 2]\n'
SHARED = '[[shared]]\nservice = 1\nclients = ["F0534D4898", "F0534D4899"]\n'


def test_a_manifest_names_whom_it_asks_and_whom_it_serves() -> None:
    manifest = Manifest.from_toml(STATEMENT + "\n" + PEERS + SHARED)
    assert manifest.peers == (Peer(bytes.fromhex("F0534D4899"), (1, 2)),)
    assert manifest.shared == (
        Shared(1, (bytes.fromhex("F0534D4898"), bytes.fromhex("F0534D4899"))),
    )
    assert Manifest.from_tables(manifest.to_tables()) == manifest


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        (PEERS.replace("F0534D4899", "F0"), "peers[0].aid"),
        (PEERS.replace("[1, 2]", "[]"), "peers[0].services"),
        (PEERS.replace("[1, 2]", "[1, 1]"), "peers[0].services"),
        (PEERS.replace("[1, 2]", "[true]"), "peers[0].services"),
        (PEERS.replace("[1, 2]", "[-1]"), "peers[0].services"),
        (PEERS.replace("[1, 2]", "[4294967296]"), "peers[0].services"),
        (PEERS.replace("[1, 2]", "1"), "peers[0].services"),
        (PEERS + "all = true\n", "peers[0].all"),
        (PEERS + PEERS, "peers"),
        (PEERS.replace("4899", "4881"), "peers"),
        (SHARED.replace("service = 1\n", ""), "shared[0].service"),
        (SHARED.replace("4898", "4899"), "shared[0].clients"),
        (SHARED.replace('"F0534D4898"', '"*"'), "shared[0].clients"),
        (SHARED.replace('["F0534D4898", "F0534D4899"]', "[]"), "shared[0].clients"),
        (SHARED + SHARED, "shared"),
        (SHARED.replace("4898", "4881"), "shared"),
    ],
)
def test_what_is_wrong_among_peers_is_named(tables: str, key: str) -> None:
    with pytest.raises(ManifestError) as caught:
        Manifest.from_toml(STATEMENT + "\n" + tables)
    assert caught.value.key == key


@pytest.mark.parametrize(("tables", "key"), [(PEERS, "peers"), (SHARED, "shared")])
def test_a_raw_applet_has_no_dealings_with_others(tables: str, key: str) -> None:
    # Else it could whisper what it reads to one that is heard at once.
    with pytest.raises(ManifestError) as caught:
        Manifest.from_toml(RAW + "\n" + tables)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("resolution_minutes = 15\n", "", "resolution_minutes"),
        ("size = 4", "size = 0", "outputs[0].size"),
        ("every_hours = 24\n", "", "outputs[0].every_hours"),
        ("every_hours = 24\n", 'every_hours = 24\nevery = "month"\n', "outputs[0].every"),
        ("every_hours = 24\n", 'every = "week"\n', "outputs[0].every"),
        (
            "[limits]",
            '[[outputs]]\nname = "hours"\nsize = 1\nevery_hours = 1\n[limits]',
            "outputs",
        ),
    ],
)
def test_what_is_wrong_in_a_raw_manifest_is_named(old: str, new: str, key: str) -> None:
    with pytest.raises(ManifestError) as caught:
        Manifest.from_toml(RAW.replace(old, new, 1))
    assert caught.value.key == key


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(key=st.sampled_from(sorted(tomllib.loads(STATEMENT))), value=VALUES)
def test_any_value_is_taken_or_refused_with_its_key(key: str, value: Any) -> None:
    tables = tomllib.loads(STATEMENT)
    tables[key] = value
    try:
        Manifest.from_tables(tables)
    except ManifestError as error:
        assert error.key.startswith(key)  # noqa: PT017  (both ends are fine)


def test_the_manifests_that_come_with_the_repository_are_right() -> None:
    root = Path(__file__).resolve().parents[3]
    for path in root.glob("applets/*/manifest.toml"):
        Manifest.from_toml(path.read_text())


def test_only_an_applet_that_does_nothing_but_take_part_in_sums_needs_no_channel() -> None:
    folder = Path(__file__).resolve().parents[3] / "applets"
    text = (folder / "aggregation" / "manifest.toml").read_text()
    sums = Manifest.from_toml(text)
    assert sums.protects_itself
    bills = Manifest.from_toml((folder / "billing" / "manifest.toml").read_text())
    assert not bills.protects_itself
    assert not replace(sums, statements=sums.statements + bills.statements).protects_itself
    assert not replace(sums, outputs=(Output("hours", 4, 24),)).protects_itself
    assert not replace(sums, statements=()).protects_itself


def test_a_manifest_can_demand_that_what_it_answers_under_is_published() -> None:
    manifest = Manifest.from_toml(STATEMENT.replace("within_days = 31", WITH_DEMAND))
    assert [grant.published for grant in manifest.statements] == [240]
    assert Manifest.from_tables(manifest.to_tables()) == manifest
    [terms] = terms_of(manifest, b"package")
    assert terms.published == 240


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("published = 240", "published = true"),
        ("published = 240", "published = -1"),
        ('kind = "linear"', 'kind = "unattributed"'),
        ('kind = "linear"', 'kind = "aggregate"\nsmallest_group = 5'),
    ],
)
def test_a_demand_that_could_not_be_held_is_refused(old: str, new: str) -> None:
    demanding = STATEMENT.replace("within_days = 31", WITH_DEMAND)
    with pytest.raises(ManifestError) as refused:
        Manifest.from_toml(demanding.replace(old, new))
    assert "published" in str(refused.value)
