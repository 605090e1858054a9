# SPDX-License-Identifier: Apache-2.0
"""Values and signed documents whose encodings were recorded before there was one encoder."""

from random import Random

from protocols.canonical.cbor import CborItem, CborValue

SIZES = (0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63, 2**64 - 1)
WORDS = ("", "a", "slot_minutes", "Größe", "電力量", "\U0001f50c", "x" * 23, "y" * 24, "z" * 256)


def _integer(dice: Random) -> int:
    return dice.choice((dice.choice(SIZES), dice.randrange(24), dice.randrange(2**40)))


def _item(dice: Random) -> CborItem:
    return dice.choice(
        (_integer(dice), dice.choice(WORDS), dice.randbytes(dice.choice((0, 6, 32, 64, 300))))
    )


def flat_arrays() -> list[list[CborItem]]:
    """Return arrays of unsigned numbers, bytes and text, the same ones each time."""
    dice = Random(20_250_301)
    return [[_item(dice) for _ in range(dice.choice((0, 1, 5, 24, 100)))] for _ in range(200)]


def _tree(dice: Random, depth: int, *, mixed: bool) -> CborValue:
    match dice.randrange(5) if depth else 0:
        case 1:
            return -1 - _integer(dice)
        case 2:
            return [_tree(dice, depth - 1, mixed=mixed) for _ in range(dice.randrange(6))]
        case 3 | 4:
            keys = [dice.choice(WORDS) + str(dice.randrange(40)) for _ in range(dice.randrange(30))]
            numbers = [_integer(dice) for _ in range(5)] if mixed else []
            both: list[int | str] = [*keys, *numbers]
            return {key: _tree(dice, depth - 1, mixed=mixed) for key in both}
        case _:
            return _item(dice)


def trees(*, mixed: bool) -> list[CborValue]:
    """Return nested values, the same ones each time; `mixed` maps have numbers and text as keys."""
    dice = Random(1_970)
    return [_tree(dice, 4, mixed=mixed) for _ in range(200)]
