# SPDX-License-Identifier: Apache-2.0
"""Wake-ups: the one payload that is one, the topic of a meter, and brokers' addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.remote_admin.errors import MalformedParameters
from protocols.remote_admin.parameters import PostParameters, SessionParameters, Trigger
from protocols.remote_admin.wake import WAKE, BrokerAddress, require_wake, wake_topic

ELSEWHERE = Trigger(SessionParameters(post=PostParameters(host="evil.example", uri="/gp/aa")))


def test_a_wake_up_is_a_trigger_that_leaves_all_to_what_is_stored() -> None:
    # GPC_SPE_011 v1.2, 3.7: tag 81, "length 0 allowed"
    assert bytes.fromhex("8100") == WAKE
    require_wake(WAKE)
    assert wake_topic(bytes.fromhex("0a01")) == "meterlet/wake/0a01"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x81",
        b"\x81\x00\x00",
        b"\x81\x01",
        b"81 00",
        ELSEWHERE.encode(),
        Trigger(dns=b"a").encode(),
    ],
)
def test_what_names_a_server_or_is_no_trigger_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedParameters):
        require_wake(payload)


@given(st.binary(max_size=60))
def test_no_other_bytes_wake(payload: bytes) -> None:
    try:
        require_wake(payload)
    except MalformedParameters:
        assert payload != WAKE
    else:
        assert payload == WAKE


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtts://broker.example", BrokerAddress("broker.example", 8883)),
        ("mqtts://broker.example:9000/", BrokerAddress("broker.example", 9000)),
        ("mqtts://[::1]:1?version=5", BrokerAddress("::1", 1)),
        ("mqtts://a?version=3.1.1", BrokerAddress("a", 8883, is_old=True)),
    ],
)
def test_brokers_are_addressed_over_tls(url: str, address: BrokerAddress) -> None:
    assert BrokerAddress.parse(url) == address
    assert BrokerAddress.parse(str(address)) in (address, BrokerAddress(address.host, address.port))


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://a", "mqtts://", "mqtts://user:secret@a", "mqtts://a:0", "mqtts://a:65536",
        "mqtts://a/topic", "mqtts://a?version=4", "mqtts://a?version=5&x=1", "mqtts://a\n",
        "mqtts://a b", "mqtts://-a", "MQTTS://a", "mqtts://a?version=", "https://a",
    ],
)  # fmt: skip
def test_other_addresses_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        BrokerAddress.parse(url)
    assert "secret" not in str(caught.value)
