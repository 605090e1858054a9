# SPDX-License-Identifier: Apache-2.0
"""Profiling as its parties run it: a hub, who asks, and the resident who sees what was told."""

import json
from pathlib import Path

from tests.support.command import ROOT
from tests.support.town import METER, Town, done, refused


def test_a_household_is_compared_with_the_standard_profiles(tmp_path: Path) -> None:
    town, vendor = Town(tmp_path), tmp_path / "vendor.key"
    package, profiles = tmp_path / "profiling.cap", tmp_path / "bdew.profiles"
    done("tariff", "keygen", "--out", vendor)
    done("applet", "build", ROOT / "applets" / "profiling", "--key", vendor, "-o", package)
    done("utility", "init", town.utility)
    done("hub", "init", town.hub, "--serial", 1, "--vendor", f"{vendor}.pub")
    march = "synthetic", "--from", "2025-03-01", "--until", "2025-03-31"
    done("hub", "ingest", "--hub", town.hub, *march)
    done(
        "applet", "install", "--hub", town.hub, package, "--yes",
        "--recipient", town.utility / "public.pem", "--enrolment", tmp_path / "enrolment.json",
    )  # fmt: skip
    done("utility", "enrol", "--utility", town.utility, tmp_path / "enrolment.json")
    made = json.loads(done("profile", "bdew", "--month", "2025-03", "-o", profiles, "--json"))
    assert len(made["profiles"]) == 11
    with town.serving() as address:
        ask = (
            "utility", "request", "profile", "--utility", town.utility, "--meter", METER,
            "--month", "2025-03", "--profiles", profiles, "--hub", address, "--json", "--method",
        )  # fmt: skip
        alone = json.loads(done(*ask, "match"))
        assert (alone["best"], alone["scores"], alone["readings"]) == ("h0", {}, 0)
        scored = json.loads(done(*ask, "scores"))
        assert max(scored["scores"], key=scored["scores"].__getitem__) == scored["best"] == "h0"
        # A class of a score, less a slot of it that is known, is too fine.
        for step in (12, 13):
            code, line = refused(*ask, "sample", "--one-in", step)
            assert (code, "6985" in line) == (5, True)
    released = json.loads(done("inspect", "releases", "--hub", town.hub, "--json"))
    assert released["known"]["grid"]["numbers"] == 1 + 11
    assert released["known"]["grid"]["samples"] == 0
    ledger = json.loads(done("utility", "ledger", "--utility", town.utility, "--json"))
    assert [entry["method"] for entry in ledger["entries"]] == ["match", "scores"]
