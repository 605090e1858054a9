# SPDX-License-Identifier: Apache-2.0
"""Profiles and scores, and what the applet's answers prove of them on London homes."""

import json
import random
from dataclasses import replace
from datetime import date
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from applets.common.evidence import AnswerRefused
from applets.common.questions import About, MessageRefused
from applets.profiling.applet import ProfilingApplet
from applets.profiling.messages import (
    AID,
    CONTENT_TYPE,
    Method,
    ProfilingAnswer,
    ProfilingQuestion,
    ProfilingRequest,
    score_unit,
)
from applets.profiling.profiles import Profile, ProfileSet, ProfilesMalformed
from applets.profiling.statement import (
    PURPOSE,
    RECIPIENT,
    scores_of_sample,
)
from applets.sdk import Command
from applets.sdk.testing import FakePlatform, Household, NativeCard
from hub.machine.manifest import Manifest
from protocols.amounts import SlotForm
from protocols.metrology import Period
from tariffs.signing import sign_document
from tests.support.homes import SLOT, Home, homes
from tests.support.profiling import NONCE, answered, checked, question_for
from utility_server.retail.profile_extraction import cluster, profiles_of, shape_of

FEBRUARY = Period.month(2013, 2)
MANIFEST = Path(__file__).resolve().parents[3] / "applets" / "profiling" / "manifest.toml"


def drawn_set(seed: int = 1, count: int = 4, slots: int = 48) -> ProfileSet:
    dice = random.Random(seed)
    profiles = [
        Profile(f"p{n}", tuple(tuple(dice.randrange(1000) for _ in range(slots)) for _ in "wsh"))
        for n in range(count)
    ]
    return ProfileSet("drawn", 1, "Europe/London", ("2013-02-14",), tuple(profiles))


@lru_cache
def real_homes(folder: Path) -> tuple[Home, ...]:
    found = []
    for home in homes(FEBRUARY, folder):
        found.append(home)
        if len(found) == 12:
            break
    return tuple(found)


@pytest.fixture(scope="module")
def some_homes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, ...]:
    return real_homes(tmp_path_factory.mktemp("homes"))


def test_each_method_proves_what_plain_arithmetic_says(some_homes: tuple[Home, ...]) -> None:
    centres, _ = cluster([shape_of(h.rows, "Europe/London", SLOT) for h in some_homes], 3, 1)
    profiles = profiles_of(centres, ["one", "two", "three"], "found", "Europe/London")
    best = []
    for home in some_homes[:4]:
        rows = profiles.weights(home.starts, SLOT)
        plain = {
            name: sum(w * home.rows.get(t, 0) for t, w in zip(home.starts, weights, strict=True))
            for name, weights in zip(profiles.names, rows, strict=True)
        }
        scored = ProfilingRequest(Method.SCORES, profiles)
        told = checked(home, answered(home, scored), scored)
        unit = score_unit([SlotForm.of_each(weights) for weights in rows])
        assert max(abs(w) for weights in rows for w in weights) <= 4 * unit
        assert dict(told.scores) == {
            name: round(Fraction(score, unit)) * unit for name, score in plain.items()
        }
        matched = ProfilingRequest(Method.MATCH, profiles)
        alone = checked(home, answered(home, matched), matched)
        assert (alone.best, dict(alone.scores)) == (max(plain, key=lambda n: plain[n]), {})
        sampled = ProfilingRequest(Method.SAMPLE, profiles, 7, 2)
        some = checked(home, answered(home, sampled), sampled)
        starts = [t for t in home.starts[2::7] if t in home.rows]
        uses = [home.rows[t] for t in starts]
        assert dict(some.scores) == scores_of_sample(profiles, starts, uses)
        assert some.readings == len(starts)
        best.append(alone.best)
    assert len(set(best)) > 1


def test_lies_about_a_profile_are_refused(some_homes: tuple[Home, ...]) -> None:
    home, other = some_homes[:2]
    profiles = drawn_set()
    request = ProfilingRequest(Method.MATCH, profiles)
    answer = answered(home, request)
    checked(home, answer, request)
    another = ProfilingRequest(Method.MATCH, drawn_set(2))
    sample = ProfilingRequest(Method.SAMPLE, profiles, 7)
    own = question_for(home).about
    lies = [
        (answered(other, request), "message"),
        (replace(answered(other, request), about=own), "chain"),
        (replace(answered(other, request), about=own, days=answer.days), "proof"),
        (answered(home, another), "request"),
        (replace(answered(home, another), digest=request.digest), "proof"),
        (replace(answered(home, sample), digest=request.digest), "proof"),
        (replace(answer, days=answer.days[1:]), "chain"),
        (replace(answer, proof=answer.proof + b"\0"), "proof"),
        (replace(answer, about=replace(own, nonce=bytes(16))), "message"),
    ]
    for lie, check in lies:
        with pytest.raises(AnswerRefused) as refused:
            checked(home, lie, request)
        assert refused.value.check == check


def test_the_applet_tells_each_method_and_no_strangers(some_homes: tuple[Home, ...]) -> None:
    key = Ed25519PrivateKey.generate()
    household = Household.constant(watt_hours=100, days=28, first_day=date(2026, 2, 1))
    uses = tuple(random.Random(3).randrange(900) for _ in household.watt_hours)
    platform = FakePlatform(replace(household, watt_hours=uses))
    card = NativeCard(ProfilingApplet, platform)
    card.install(key.public_key().public_bytes_raw())
    about = About(b"meter", household.begin, household.end, NONCE)
    profiles = replace(drawn_set(slots=96), zone="Europe/Berlin")
    for request in (
        ProfilingRequest(Method.MATCH, profiles),
        ProfilingRequest(Method.SCORES, profiles),
        ProfilingRequest(Method.SAMPLE, profiles, 13, 5),
    ):
        document = sign_document(request.encode(), CONTENT_TYPE, key, b"key")
        response = card.send(Command(0x80, 0x10, data=ProfilingQuestion(about, document).encode()))
        assert response.status == 0x9000
        assert ProfilingAnswer.decode(response.data).digest == request.digest
    told = [opened.values for opened in platform.released_numbers]
    assert [len(values) for values in told] == [1, 4, -(-(2688 - 5) // 13)]
    assert told[1].index(max(told[1])) == told[0][0]
    assert list(told[2]) == list(uses[5::13])
    stranger = sign_document(request.encode(), CONTENT_TYPE, Ed25519PrivateKey.generate(), b"key")
    wrong = ProfilingRequest(Method.MATCH, drawn_set())  # of half-hours
    for document in (stranger, sign_document(wrong.encode(), CONTENT_TYPE, key, b"key")):
        question = ProfilingQuestion(about, document)
        assert card.send(Command(0x80, 0x10, data=question.encode())).status == 0x6A80


def test_nothing_is_told_that_could_not_be_kept_for_the_resident() -> None:
    key = Ed25519PrivateKey.generate()
    household = Household.constant(watt_hours=100, days=28, first_day=date(2026, 2, 1))
    platform = FakePlatform(household, store_bytes=200)
    card = NativeCard(ProfilingApplet, platform)
    card.install(key.public_key().public_bytes_raw())
    profiles = replace(drawn_set(slots=96), zone="Europe/Berlin")
    request = ProfilingRequest(Method.SAMPLE, profiles, 13)
    document = sign_document(request.encode(), CONTENT_TYPE, key, b"key")
    question = ProfilingQuestion(About(b"m", household.begin, household.end, NONCE), document)
    assert card.send(Command(0x80, 0x10, data=question.encode())).status != 0x9000
    assert platform.released_numbers == []
    assert [name for name in platform.store if b"request" in name] == []


def test_the_manifest_names_what_each_method_takes() -> None:
    manifest = Manifest.from_toml(MANIFEST.read_text())
    assert (manifest.aid, manifest.recipient, manifest.purpose) == (AID, RECIPIENT, PURPOSE)
    assert {one.kind: one.least_minutes for one in manifest.statements} == {
        "match": 60,
        "linear": 60,
        "sample": 195,
    }


def test_a_score_does_not_depend_on_how_much_is_used_at_all_times() -> None:
    profiles, starts = drawn_set(), list(range(1_359_676_800, 1_359_676_800 + 28 * 86_400, 1800))
    for weights in profiles.weights(starts, 1800):
        assert abs(sum(weights)) <= len(weights)
        length = sum(w * w for w in weights)
        assert 0.99 < length / 10**10 < 1.01
    with pytest.raises(ProfilesMalformed, match="1800 s, the meter 900 s"):
        profiles.weights(starts, 900)


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_other_bytes_are_no_profiles(data: bytes) -> None:
    for decode in (ProfileSet.decode, ProfilingRequest.decode):
        with pytest.raises(ProfilesMalformed):
            decode(data)


def test_documents_have_one_encoding() -> None:
    profiles = drawn_set()
    assert ProfileSet.decode(profiles.encode()) == profiles
    request = ProfilingRequest(Method.SAMPLE, profiles, 7, 3)
    assert ProfilingRequest.decode(request.encode()) == request
    members = json.loads(profiles.encode())
    changes: list[dict[str, Any]] = [
        {"version": True}, {"version": 0}, {"version": 1.0}, {"zone": "Mars"}, {"name": "Ü"},
        {"holidays": ["2013-02-15", "2013-02-14"]}, {"holidays": [5]}, {"format": "other"},
        {"profiles": members["profiles"][:1]}, {"profiles": members["profiles"] * 4},
        {"profiles": [{"name": "x", "days": [[1], [2], [-1]]}] * 2}, {"more": 1},
        {"profiles": [{**members["profiles"][0], "days": [[True] * 48] * 3}] * 2},
    ]  # fmt: skip
    for change in changes:
        text = json.dumps({**members, **change}, sort_keys=True, separators=(",", ":"))
        with pytest.raises(ProfilesMalformed):
            ProfileSet.decode(text.encode())
    with pytest.raises(ProfilesMalformed, match="one encoding"):
        ProfileSet.decode(json.dumps(members).encode())
    with pytest.raises(ProfilesMalformed):
        ProfilingRequest(Method.MATCH, profiles, 7)


def test_messages_have_one_encoding() -> None:
    about = About(b"meter", 0, 86_400, NONCE)
    answer = ProfilingAnswer(about, b"proof", bytes(32), (b"day",))
    question = ProfilingQuestion(about, b"request")
    assert ProfilingAnswer.decode(answer.encode()) == answer
    assert ProfilingQuestion.decode(question.encode()) == question
    for data in (question.encode(), answer.encode()):
        for place in range(len(data)):
            changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            for decode in (ProfilingQuestion.decode, ProfilingAnswer.decode):
                try:
                    again = decode(changed)
                except MessageRefused:
                    continue
                assert again.encode() == changed


def test_homes_of_like_shape_are_found_together() -> None:
    dice = random.Random(9)

    def noisy(peak: int) -> tuple[float, ...]:
        raw = [1 + 5 * (place % 24 == peak) + dice.random() / 5 for place in range(72)]
        return tuple(value * 72 / sum(raw) for value in raw)

    shapes = [noisy(peak) for peak in (3, 18, 3, 3, 18, 9, 3)]
    centres, members = cluster(shapes, 3, 1)
    assert members == [0, 1, 0, 0, 1, 2, 0]
    assert cluster(shapes, 3, 1) == (centres, members)
    made = profiles_of(centres, ["a", "b", "c"], "found", "UTC")
    assert [p.days[0].index(max(p.days[0])) for p in made.profiles] == [3, 18, 9]
    with pytest.raises(ValueError, match="make no 8 clusters"):
        cluster(shapes, 8, 1)
