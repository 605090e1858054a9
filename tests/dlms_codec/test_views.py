# SPDX-License-Identifier: Apache-2.0
"""The JSON of a capture, and of a dialogue whose messages tell what the next ones need."""

import json
from typing import Any

import pytest
from hypothesis import given

from dlms_codec import (
    Array,
    BitString,
    CompactArray,
    Data,
    DataNotification,
    DateTime,
    DontCare,
    Float32,
    GeneralCiphered,
    Keys,
    MalformedDlms,
    Obis,
    ServiceCiphered,
    Structure,
    TypeDescription,
    UInt32,
    Utf8String,
    protect,
)
from dlms_codec.apdus.acse import Aare, Aarq, Context, Diagnostic
from dlms_codec.apdus.addressing import Attribute, Value
from dlms_codec.apdus.get import GetRequest, GetResponse
from dlms_codec.apdus.initiate import Conformance, InitiateRequest, InitiateResponse
from dlms_codec.numbers import Boolean, Enum, Int8
from dlms_codec.wrapper import encode_wrapper
from hub.meters.recognition import is_dlms
from meterlet.meter_views.dlms import dlms_view
from meterlet.meter_views.dlms_trees import DialogueTrees, data_tree
from tests.dlms_codec.strategies import messages

CLIENT, METER = b"CLIENT01", b"METER001"
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
DEDICATED = bytes(range(32, 48))
ENERGY = Attribute(3, Obis.parse("1-0:1.8.0"), 2)


def session() -> bytes:
    """Return an association with a dedicated key, and a value read under it."""
    own = Keys(KEYS.encryption, KEYS.authentication, DEDICATED)
    proposal = InitiateRequest(Conformance.GET, 1024, DEDICATED).encode()
    agreed = InitiateResponse(Conformance.GET, 1024).encode()
    asked = GetRequest(0xC1, ENERGY).encode()
    answer = GetResponse(0xC1, Value(UInt32(5009))).encode()
    steps = [
        (16, Aarq(
            Context.LOGICAL_NAMES_CIPHERED,
            ServiceCiphered(0x21, protect(proposal, CLIENT, 1, own)).encode(), CLIENT,
        ).encode()),
        (1, Aare(
            Context.LOGICAL_NAMES_CIPHERED, 0, Diagnostic(1, 0),
            ServiceCiphered(0x28, protect(agreed, METER, 1, own)).encode(), METER,
        ).encode()),
        (16, ServiceCiphered(0xD0, protect(asked, CLIENT, 2, own, dedicated=True)).encode()),
        (1, ServiceCiphered(0xD4, protect(answer, METER, 2, own, dedicated=True)).encode()),
    ]  # fmt: skip
    return b"".join(encode_wrapper(source, 17 - source, apdu) for source, apdu in steps)


def test_a_dialogue_is_read_with_the_titles_and_the_key_that_it_tells() -> None:
    view = dlms_view(session(), keys=KEYS)
    trees = [telegram["apdu"] for telegram in view["telegrams"]]
    assert view["frames"] == 4
    assert trees[0]["user_information"]["plain"]["dedicated_key"] == DEDICATED.hex()
    assert trees[2]["apdu"] == "ded-get-request"
    assert trees[2]["plain"] == {
        "invoke": 0xC1, "apdu": "get-request-normal", "class": 3, "obis": "1-0:1.8.0*255",
        "attribute": 2,
    }  # fmt: skip
    assert trees[3]["plain"]["data"] == {"uint32": 5009}
    assert all(tree.get("authenticated", True) for tree in trees)
    assert not any("error" in telegram for telegram in view["telegrams"])


def test_without_keys_a_dialogue_is_shown_as_far_as_it_is_plain() -> None:
    view = dlms_view(session())
    asked = view["telegrams"][2]
    assert "plain" not in asked["apdu"]
    assert "key" in asked["error"]
    assert view["telegrams"][0]["apdu"]["system_title"] == CLIENT.hex()
    for key in (KEYS.encryption, DEDICATED):
        assert key is not None
        assert key.hex() not in json.dumps(view)


def pushed(body: Data) -> bytes:
    time = DateTime(bytes.fromhex("07e50713010f2e2300ff8880"))
    return DataNotification(7, time, body).encode()


def test_a_push_has_its_values_and_its_whole_body() -> None:
    entry = Structure((ENERGY.obis.code, UInt32(1234), Structure((Int8(-1), Enum(30)))))
    [telegram] = dlms_view(pushed(Array((entry,))))["telegrams"]
    assert telegram["time"] == "2021-07-19T15:46:35"
    assert telegram["values"] == [
        {"obis": "1-0:1.8.0*255", "value": 1234, "scaler": -1, "unit": "Wh"}
    ]
    assert telegram["body"] == {"array": [{"structure": [
        {"octets": "0100010800ff"}, {"uint32": 1234}, {"structure": [{"int8": -1}, {"enum": 30}]},
    ]}]}  # fmt: skip


def test_a_wrong_key_shows_no_values_and_says_which_key_is_wrong() -> None:
    wire = GeneralCiphered(METER, protect(pushed(UInt32(1)), METER, 9, KEYS)).encode()
    right = dlms_view(wire, keys=KEYS)["telegrams"][0]
    assert (right["authenticated"], right["counter"], len(right["values"])) == (True, 9, 1)
    for keys, word in (
        (Keys(bytes(16), KEYS.authentication), "encryption key"),
        (Keys(KEYS.encryption, bytes(16)), "authentication key"),
    ):
        wrong = dlms_view(wire, keys=keys)["telegrams"][0]
        assert (wrong["encrypted"], wrong["authenticated"]) == (True, False)
        assert wrong["values"] is None
        assert word in wrong["error"]
        assert "plain" not in wrong["apdu"]


@pytest.mark.parametrize(
    ("value", "tree"),
    [
        (None, {"null": None}),
        (Boolean(1), {"bool": True}),
        (BitString(3, b"\xa0"), {"bits": "101"}),
        (b"\x01", {"octets": "01"}),
        (Utf8String("é".encode()), {"utf8": "é"}),
        (Float32.of(0.5), {"float32": 0.5}),
        (Float32(b"\x7f\xc0\0\0"), {"float32": "nan"}),
        (DontCare(), {"dontcare": None}),
        (CompactArray(TypeDescription(17), b"\1\2"), {"array": [{"uint8": 1}, {"uint8": 2}]}),
    ],
)
def test_each_type_has_its_name(value: Data, tree: dict[str, Any]) -> None:
    assert data_tree(value) == tree


def test_what_is_not_dlms_is_said_to_be_none() -> None:
    texts = [
        b"",
        b"hello",
        b"Hello",
        b"A" * 300,
        b"`",
        b"a \x7e\xa0 in it",
        b"/ISk5\\2MT382-1000\r\n",
    ]
    for data in [*texts, b"\x0fabc", bytes.fromhex("1b1b1b1b01010101")]:
        assert not is_dlms(data)
        with pytest.raises(MalformedDlms):
            dlms_view(data)
    # A message that does not add up is one, and has no values.
    view = dlms_view(pushed(UInt32(1))[:-1])
    assert view["frames"] == 1
    assert view["telegrams"][0]["values"] is None
    assert "cut short" in view["telegrams"][0]["error"]


@given(messages)
def test_every_message_has_a_tree_that_is_json(message: Any) -> None:
    tree = DialogueTrees(KEYS, METER).of(message)
    assert isinstance(tree["apdu"], str)
    json.dumps(tree, allow_nan=False)
