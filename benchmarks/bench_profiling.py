# SPDX-License-Identifier: Apache-2.0
"""How well each profiling method does on the 60 London homes, and what it costs and tells.

    python benchmarks/bench_profiling.py

Two sets of profiles: the BDEW's eleven for the month, and five classes that k-means found in the
homes' own January to April. A home's true class of the second set is the one it was in then. For
each later month and home with nine tenths of its slots read:

    agrees     the method names the profile that all readings name
    right      it names the home's class of the spring

`match` and `scores` are proved, so that they agree always; that is checked against plain
arithmetic for some homes, whose proofs are timed. Low Carbon London, UK Power Networks, CC BY 4.0.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from applets.profiling.messages import Method, ProfilingRequest
from applets.profiling.profiles import ProfileSet, ProfilesMalformed
from applets.profiling.statement import scores_of_sample
from meterlet.commands.profile import bdew_profiles
from protocols.metrology import Period
from tests.support.homes import SLOT, ZONE, homes, rows_of
from tests.support.profiling import answered, checked
from tests.support.shared import LONDON, no_real_data
from utility_server.retail.profile_extraction import cluster, profiles_of, shape_of

SPRING = Period(date(2013, 1, 1), date(2013, 4, 30))
MONTHS = (5, 7, 9, 11)
CLASSES = 5
STEPS = (7, 13, 29, 49, 97, 193)
SCORE_BITS = 29
"""Of a score of a month of half-hours, of which a watt-hour makes 4 units at most."""
TIMED = 6


@dataclass
class Tally:
    agrees: int = 0
    right: int = 0
    homes: int = 0
    readings: list[int] = field(default_factory=list)


def best(scores: Mapping[str, int]) -> str:
    return max(scores, key=lambda name: scores[name])


def read(rows: Mapping[int, int], starts: list[int], step: int, first: int) -> list[int]:
    return [start for start in starts[first::step] if start in rows]


def sampled(profiles: ProfileSet, rows: Mapping[int, int], starts: list[int]) -> str | None:
    try:
        return best(scores_of_sample(profiles, starts, [rows[start] for start in starts]))
    except ProfilesMalformed:  # too few to tell the profiles apart
        return None


def population() -> tuple[ProfileSet, dict[str, str]]:
    shapes = {}
    for home, rows in rows_of(SPRING).items():
        try:
            shapes[home] = shape_of(rows, ZONE, SLOT)
        except ValueError:
            continue
    centres, members = cluster(list(shapes.values()), CLASSES, seed=1)
    names = [f"class {number}" for number in range(1, CLASSES + 1)]
    found = profiles_of(centres, names, "london", ZONE)
    print("classes found: " + ", ".join(f"{n} {members.count(i)}" for i, n in enumerate(names)))
    return found, {home: names[one] for home, one in zip(shapes, members, strict=True)}


def months(profiles: ProfileSet) -> Iterator[tuple[Period, ProfileSet, bool]]:
    for month in MONTHS:
        period = Period.month(2013, month)
        yield period, profiles, True
        yield period, bdew_profiles(period, 30), False


def accuracy(profiles: ProfileSet, classes: Mapping[str, str]) -> None:
    tallies: dict[tuple[bool, int], Tally] = {}
    for period, chosen, own in months(profiles):
        begin, end = period.bounds(ZONE)
        starts = list(range(begin, end, SLOT))
        for home, rows in rows_of(period).items():
            if len(rows) < 0.9 * len(starts):
                continue
            whole = sampled(chosen, rows, read(rows, starts, 1, 0))
            for step in (1, *STEPS):
                kept = read(rows, starts, step, hash_of(home) % step)
                named = whole if step == 1 else sampled(chosen, rows, kept)
                tally = tallies.setdefault((own, step), Tally())
                tally.homes += 1
                tally.agrees += named == whole
                tally.right += own and classes.get(home) == named
                tally.readings.append(len(kept))
    for own in (False, True):
        print(f"\n{'profiles of the population' if own else 'BDEW profiles'}")
        print(f"{'method':22}{'agrees':>9}{'right':>9}{'readings told':>15}{'bits':>8}")
        for step in (1, *STEPS):
            tally = tallies[own, step]
            count = max(tally.readings)
            right = f"{100 * tally.right / tally.homes:8.1f}%" if own else "        -"
            agrees = f"{100 * tally.agrees / tally.homes:8.1f}%"
            rest = f"{agrees}{right}"
            if step > 1:
                print(f"{f'sample, 1 in {step}':22}{rest}{count:15}{17 * count:8}")
                continue
            wide = CLASSES if own else 11
            print(f"{'match':22}{rest}{0:15}{(wide - 1).bit_length():8}")
            print(f"{'scores':22}{rest}{0:15}{SCORE_BITS * wide:8}")


def hash_of(home: str) -> int:
    return int(home.removeprefix("MAC"))


def costs(profiles: ProfileSet) -> None:
    period = Period.month(2013, 5)
    requests = [
        ProfilingRequest(Method.MATCH, profiles),
        ProfilingRequest(Method.SCORES, profiles),
        ProfilingRequest(Method.SAMPLE, profiles, 13, 0),
        ProfilingRequest(Method.MATCH, bdew_profiles(period, 30)),
    ]
    spent = {number: [0.0, 0.0, 0] for number in range(len(requests))}
    with tempfile.TemporaryDirectory() as folder:
        for done, home in enumerate(homes(period, Path(folder)), start=1):
            for number, request in enumerate(requests):
                begun = time.process_time()
                answer = answered(home, request)
                proved = time.process_time()
                told = checked(home, answer, request)
                spent[number][0] += proved - begun
                spent[number][1] += time.process_time() - proved
                spent[number][2] += len(answer.proof)
                starts = [start for start in home.starts if start in home.rows]
                if request.method is not Method.SAMPLE:
                    assert told.best == sampled(request.profiles, home.rows, starts)
            if done == TIMED:
                break
    print(f"\n{TIMED} homes, one core, processor time, {len(home.starts)} slots")
    print(f"{'method':22}{'prove':>10}{'verify':>10}{'bytes':>8}   (days and chain included)")
    for number, request in enumerate(requests):
        prove, verify, size = (value / TIMED for value in spent[number])
        name = f"{request.method}, {len(request.profiles.profiles)} profiles"
        print(f"{name:22}{1000 * prove:7.0f} ms{1000 * verify:7.0f} ms{size:8.0f}")


def main() -> None:
    if not LONDON.exists():
        print(no_real_data(LONDON))
        sys.exit(1)
    profiles, classes = population()
    accuracy(profiles, classes)
    costs(profiles)


if __name__ == "__main__":
    main()
