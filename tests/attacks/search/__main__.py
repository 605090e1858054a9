# SPDX-License-Identifier: Apache-2.0
"""Run the searcher: `python -m tests.attacks.search --seconds 60 --seed 1 [--world month]`.

Exit code 1 says that something was found.
"""

import argparse
import sys
import time
from collections import Counter

from tests.attacks.search.episode import play
from tests.attacks.search.search import Search
from tests.attacks.search.strategies import STRATEGIES


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Search, and print what is found as it comes; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.search", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, help="the first one; the clock's seconds by default")
    parser.add_argument("--only", type=int, help="play this seed alone")
    parser.add_argument("--world", choices=("small", "month", "dark"), default="small")
    parser.add_argument("--strategy", choices=sorted(STRATEGIES))
    parser.add_argument("--all", action="store_true", help="print each finding, not each kind once")
    given = parser.parse_args()
    if given.only is not None:
        episode = play(given.only, given.world, given.strategy)
        counts = f"{episode.requests} requests, {episode.permitted} permitted"
        _say(f"{episode.strategy}: {counts}")
        for finding in episode.findings:
            _say(f"{finding.promise}: {finding.what}")
        return 1 if episode.findings else 0
    first = int(time.time()) if given.seed is None else given.seed
    _say(f"{given.world}: seeds from {first} on, for {given.seconds:g} s")
    search = Search(first, given.world, given.strategy)
    kinds: Counter[tuple[str, str]] = Counter()
    for found in search.run(given.seconds):
        kind = found.finding.promise, found.strategy
        kinds[kind] += 1
        if given.all or kinds[kind] == 1:
            _say(
                f"seed {found.seed}, {found.seconds:.1f} s, request {found.requests}:"
                f" {found.strategy} broke {found.finding.promise}: {found.finding.what}",
            )
    _say(search.summary())
    for (promise, strategy), times in sorted(kinds.items()):
        _say(f"    {promise:9} {strategy:12} {times}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
