# SPDX-License-Identifier: Apache-2.0
"""Messages of every type, with every kind of value."""

from typing import Any, Final

from hypothesis import strategies as st

from sml_codec import (
    ActionCosemReq,
    ActionCosemRes,
    AttentionRes,
    CloseReq,
    CloseRes,
    Crc,
    Element,
    GetCosemReq,
    GetCosemRes,
    GetListReq,
    GetListRes,
    GetProcParameterReq,
    GetProcParameterRes,
    GetProfileListReq,
    GetProfileListRes,
    GetProfilePackReq,
    GetProfilePackRes,
    ListEntry,
    Message,
    Obis,
    OpenReq,
    OpenRes,
    PeriodEntry,
    PlainValue,
    ProfileHeader,
    ProfilePeriod,
    ProfileValue,
    SetCosemReq,
    SetCosemRes,
    SetProcParameterReq,
    SmlQuantity,
    Time,
    TimeChoice,
    Tree,
    TupelEntry,
    UnknownBody,
)
from sml_codec.numbers import INTEGERS, UNSIGNEDS, SizedInt


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@st.composite
def sized_integers(draw: st.DrawFn) -> SizedInt:
    cls = draw(st.sampled_from(INTEGERS + UNSIGNEDS))
    bits = 8 * cls.size
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if cls.signed else (0, (1 << bits) - 1)
    return cls(draw(st.integers(low, high)))


def integers(size: int, *, signed: bool = False) -> st.SearchStrategy[int]:
    if signed:
        return st.integers(-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1)
    return st.integers(0, (1 << 8 * size) - 1)


octets = st.binary(max_size=20)
optional_octets = maybe(octets)
leaves: st.SearchStrategy[Element] = (
    st.none() | st.booleans() | octets | sized_integers() | st.integers(-(1 << 63), (1 << 64) - 1)
)
elements: st.SearchStrategy[Element] = st.recursive(
    leaves, lambda children: st.lists(children, max_size=20).map(tuple), max_leaves=20
)
names = st.binary(min_size=6, max_size=6).map(Obis) | octets.map(Obis)
local_times = st.builds(
    Time,
    st.sampled_from(TimeChoice) | st.none(),
    integers(4),
    integers(2, signed=True),
    integers(2, signed=True),
)
times = st.builds(Time, st.sampled_from(TimeChoice) | st.none(), integers(4)) | local_times
units = maybe(integers(1))
scalers = maybe(integers(1, signed=True))
paths = st.lists(octets, max_size=4).map(tuple)

list_entries = st.builds(
    ListEntry,
    obis=names,
    status=maybe(integers(8)),
    time=maybe(times),
    unit=units,
    scaler=scalers,
    value=elements,
    signature=optional_octets,
    corrected=st.none(),
)
period_entries = st.builds(
    PeriodEntry,
    obis=names,
    unit=units,
    scaler=scalers,
    value=elements,
    signature=optional_octets,
)
quantities = st.builds(
    SmlQuantity, unit=units, scaler=scalers, value=maybe(integers(8, signed=True))
)
tupel_entries = st.builds(
    TupelEntry,
    server_id=octets,
    second_index=maybe(times),
    status=maybe(integers(8)),
    active_plus=quantities,
    reactive_1=quantities,
    reactive_4=quantities,
    signature_plus=optional_octets,
    active_minus=quantities,
    reactive_2=quantities,
    reactive_3=quantities,
    signature_minus=optional_octets,
)
parameters = elements.map(PlainValue) | period_entries | tupel_entries | times | list_entries
trees = st.recursive(
    st.builds(Tree, octets, maybe(parameters), st.none()),
    lambda nodes: st.builds(
        Tree, octets, maybe(parameters), maybe(st.lists(nodes, max_size=4).map(tuple))
    ),
    max_leaves=6,
)

_login: Final = {
    "server_id": optional_octets,
    "username": optional_octets,
    "password": optional_octets,
}
_profile_request: Final = _login | {
    "with_raw_data": maybe(st.booleans()),
    "begin_time": maybe(times),
    "end_time": maybe(times),
    "tree_path": paths,
    "objects": maybe(paths),
    "details": maybe(trees),
}
_profile_response: Final = {
    "server_id": octets,
    "actual_time": maybe(times),
    "period_seconds": maybe(integers(4)),
    "tree_path": paths,
    "raw_data": optional_octets,
    "signature": optional_octets,
}
_cosem: Final = {
    "client_id": optional_octets,
    "server_id": optional_octets,
    "obis": names,
    "class_id": integers(2, signed=True),
    "class_version": maybe(integers(2, signed=True)),
}
_cosem_request: Final = _cosem | _login | {"arguments": st.lists(elements, max_size=3).map(tuple)}
_cosem_response: Final = _cosem | {"results": st.lists(elements, max_size=3).map(tuple)}

_rows = st.builds(
    ProfilePeriod,
    time=maybe(times),
    status=maybe(integers(8)),
    values=st.lists(
        st.builds(ProfileValue, value=elements, signature=optional_octets), max_size=4
    ).map(tuple),
    signature=optional_octets,
)
_headers = st.builds(ProfileHeader, obis=names, unit=units, scaler=scalers)

bodies = st.one_of(
    st.builds(
        OpenReq,
        **_login,
        codepage=optional_octets,
        client_id=octets,
        request_file_id=octets,
        sml_version=maybe(integers(1)),
    ),
    st.builds(
        OpenRes,
        codepage=optional_octets,
        client_id=optional_octets,
        request_file_id=octets,
        server_id=octets,
        reference_time=maybe(times),
        sml_version=maybe(integers(1)),
    ),
    st.builds(CloseReq, signature=optional_octets),
    st.builds(CloseRes, signature=optional_octets),
    st.builds(GetProfilePackReq, **_profile_request),
    st.builds(
        GetProfilePackRes,
        **_profile_response,
        headers=st.lists(_headers, max_size=4).map(tuple),
        periods=st.lists(_rows, max_size=3).map(tuple),
    ),
    st.builds(GetProfileListReq, **_profile_request),
    st.builds(
        GetProfileListRes,
        **_profile_response,
        time=maybe(times),
        status=maybe(integers(8)),
        entries=st.lists(period_entries, max_size=20).map(tuple),
    ),
    st.builds(GetProcParameterReq, **_login, tree_path=paths, attribute=optional_octets),
    st.builds(GetProcParameterRes, server_id=octets, tree_path=paths, tree=trees),
    st.builds(SetProcParameterReq, **_login, tree_path=paths, tree=trees),
    st.builds(GetListReq, **_login, client_id=octets, list_name=optional_octets),
    st.builds(
        GetListRes,
        client_id=optional_octets,
        server_id=octets,
        list_name=optional_octets,
        sensor_time=maybe(times),
        entries=st.lists(list_entries, max_size=20).map(tuple),
        signature=optional_octets,
        gateway_time=maybe(times),
    ),
    st.builds(GetCosemReq, **_cosem_request),
    st.builds(GetCosemRes, **_cosem_response),
    st.builds(SetCosemReq, **_cosem_request),
    st.builds(SetCosemRes, **_cosem_response),
    st.builds(ActionCosemReq, **_cosem_request),
    st.builds(ActionCosemRes, **_cosem_response),
    st.builds(
        AttentionRes,
        server_id=octets,
        number=octets,
        text=optional_octets,
        details=maybe(trees),
    ),
    st.builds(UnknownBody, st.integers(0x0B00, 0xFE00), elements, st.just("")),
)

messages = st.builds(
    Message,
    transaction_id=octets,
    group=integers(1),
    abort_on_error=integers(1),
    body=bodies,
    crc=st.sampled_from(Crc),
    wire=st.just(b""),
)
