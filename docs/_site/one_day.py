# SPDX-License-Identifier: Apache-2.0
"""Draws docs/images/one-day.svg: a day as a supplier sees it today, and with Meterlet.

    meterlet demo --keep try
    meterlet inspect readings --hub try/hub --from 2025-03-03 --until 2025-03-03 --by slot --csv \
        | python docs/_site/one_day.py > docs/images/one-day.svg
"""

import csv
import sys
from collections.abc import Iterator
from typing import Final

LEFT, TOP, WIDTH, HEIGHT = 36, 92, 500, 180
"""Where the curve is drawn."""
HIGHEST_WH: Final = 560
NOTES: Final = (
    ("everybody asleep", 0, 23, 110),
    ("up, kettle on", 25, 32, 240),
    ("lunch is cooked", 50, 56, 440),
    ("dinner", 77, 81, 390),
    ("dishwasher", 85, 90, 560),
)
"""What the synthetic household did: words, first and last quarter-hour, height in Wh."""
STYLE: Final = """
  text { font: 15px system-ui, sans-serif; fill: #24323f }
  .title { font-size: 17px; font-weight: 600 } .small { font-size: 12.5px; fill: #5b6b79 }
  .number { font-size: 46px; font-weight: 700; fill: #0b6e69 }
  .bar { fill: #c2543a } .quiet { fill: #d9a294 } .note { font-size: 12.5px; text-anchor: middle }
  .hour { font-size: 12.5px; fill: #5b6b79; text-anchor: middle }
  .bracket { stroke: #24323f; stroke-width: 1.2; fill: none }
"""


def main() -> None:
    """Print the picture of the day on standard input."""
    uses = [int(row["energy_wh"]) for row in csv.DictReader(sys.stdin)]
    sys.stdout.write("\n".join(_picture(uses)) + "\n")


def _picture(uses: list[int]) -> Iterator[str]:
    yield '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 940 330" role="img">'
    yield "<title>The same day as a supplier sees it today, and with Meterlet</title>"
    yield f"<style>{STYLE}</style>"
    yield '<rect width="564" height="330" rx="10" fill="#fbf4f1" stroke="#e3cfc8"/>'
    yield '<rect x="584" width="356" height="330" rx="10" fill="#eef7f5" stroke="#c3dfda"/>'
    yield _text(24, 34, "What the supplier sees today", "title")
    yield _text(24, 54, f"{len(uses)} numbers a day, one for each quarter of an hour", "small")
    yield from _curve(uses)
    yield _text(608, 34, "What it sees with Meterlet", "title")
    yield _text(608, 54, "one number a month, and a proof", "small")
    yield _text(608, 150, "127.46 EUR", "number")
    yield _text(608, 178, "for March 2025")
    yield _text(608, 226, "✓ proved against what the meter signed")
    yield _text(608, 250, "✓ checked by supplier and resident")
    yield _text(608, 274, "✓ no reading has left the house")
    yield "</svg>"


def _curve(uses: list[int]) -> Iterator[str]:
    step, bottom = WIDTH / len(uses), TOP + HEIGHT
    noted = {place for _, first, last, _ in NOTES[1:] for place in range(first, last + 1)}
    for place, use in enumerate(uses):
        high = HEIGHT * use / HIGHEST_WH
        kind = "bar" if place in noted else "quiet"
        yield (
            f'<rect class="{kind}" x="{LEFT + step * place:.1f}" y="{bottom - high:.1f}"'
            f' width="{step - 1:.1f}" height="{high:.1f}"/>'
        )
    for hour in range(0, 25, 6):
        x = LEFT + WIDTH * hour / 24
        yield f'<text class="hour" x="{x:.0f}" y="{bottom + 20}">{hour}:00</text>'
    for words, first, last, height in NOTES:
        begin, end = LEFT + step * first, LEFT + step * (last + 1)
        y = bottom - HEIGHT * height / HIGHEST_WH
        yield f'<path class="bracket" d="M{begin:.0f} {y + 5:.0f}v-5H{end:.0f}v5"/>'
        yield f'<text class="note" x="{(begin + end) / 2:.0f}" y="{y - 6:.0f}">{words}</text>'


def _text(x: int, y: int, words: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{words}</text>'


if __name__ == "__main__":
    main()
