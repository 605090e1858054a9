# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from enum import StrEnum
from typing import ClassVar

import pytest

from protocols.canonical.cbor import CborError, CborValue
from protocols.canonical.reader import MapReader


class Colour(StrEnum):
    RED = "red"


VALUE: CborValue = {
    "n": 3, "t": "red", "b": b"12", "on": 1, "a": [1, 2], "s": ["x"], "m": {"k": 1},
    "p": [[1, 2]], "pp": [[[1, 2], [3, 4]], []], "ppp": [[1, 2, 3]],
}  # fmt: skip


def test_every_kind_of_value_is_taken() -> None:
    reader = MapReader(VALUE, "thing")
    assert reader.integer("n") == 3
    assert reader.choice("t", Colour) is Colour.RED
    assert reader.data("b", 2) == b"12"
    assert reader.flag("on") is True
    assert reader.integers("a") == (1, 2)
    assert reader.texts("s") == ("x",)
    assert reader.named("m") == [("k", 1)]
    assert reader.pairs("p") == ((1, 2),)
    assert reader.pairs_of_each("pp") == (((1, 2), (3, 4)), ())
    assert "ppp" in reader
    assert reader.triples("ppp") == ((1, 2, 3),)
    assert "ppp" not in reader
    reader.done()


@pytest.mark.parametrize(
    ("take", "reason"),
    [
        (lambda reader: reader.integer("t"), "t of thing is not int"),
        (lambda reader: reader.text("n"), "n of thing is not str"),
        (lambda reader: reader.data("t"), "t of thing is not bytes"),
        (lambda reader: reader.data("b", 32), "b of thing has 2 bytes, not 32"),
        (lambda reader: reader.flag("n"), "n of thing is neither 0 nor 1"),
        (
            lambda reader: MapReader({"t": "blue"}, "thing").choice("t", Colour),
            "is unknown: 'blue'",
        ),
        (lambda reader: reader.items("n"), "n of thing is not an array"),
        (lambda reader: reader.integers("s"), "s of thing holds more than int"),
        (lambda reader: reader.texts("a"), "a of thing holds more than str"),
        (lambda reader: reader.named("n"), "n of thing is not a map"),
        (lambda reader: MapReader({"m": {1: 1}}, "thing").named("m"), "a key that is not text"),
        (lambda reader: reader.pairs("a"), "p?a of thing holds more than arrays of 2 integers"),
        (lambda reader: reader.pairs("ppp"), "holds more than arrays of 2 integers"),
        (lambda reader: reader.pairs_of_each("p"), "holds more than arrays of 2 integers"),
        (lambda reader: reader.pairs_of_each("a"), "holds more than arrays of 2 integers"),
        (lambda reader: reader.triples("p"), "holds more than arrays of 3 integers"),
        (lambda reader: MapReader({"p": [[1, ""]]}, "thing").pairs("p"), "of 2 integers"),
        (lambda reader: reader.value("missing"), "thing lacks missing"),
        (lambda reader: [reader.integer("n"), reader.integer("n")], "thing lacks n"),
        (lambda reader: MapReader([], "thing"), "thing is not a map"),
        (lambda reader: reader.done(), "thing has an unknown key 'n'"),
    ],
)
def test_a_refusal_names_the_map_and_the_key(
    take: Callable[[MapReader], object], reason: str
) -> None:
    with pytest.raises(CborError, match=reason):
        take(MapReader(VALUE, "thing"))


def test_a_subclass_has_an_error_of_its_own() -> None:
    class Reader(MapReader):
        error: ClassVar[type[Exception]] = KeyError

    with pytest.raises(KeyError, match="lacks"):
        Reader({}, "thing").value("x")
