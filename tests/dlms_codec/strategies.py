# SPDX-License-Identifier: Apache-2.0
"""Values, messages and pushes of DLMS, made up."""

from __future__ import annotations

from hypothesis import strategies as st

from dlms_codec import (
    Array,
    BitString,
    CompactArray,
    Data,
    Date,
    DateTime,
    DontCare,
    Float32,
    Float64,
    Obis,
    OctetString,
    Structure,
    Time,
    TypeDescription,
    Utf8String,
    VisibleString,
)
from dlms_codec.apdus import access as access_service
from dlms_codec.apdus import action, get
from dlms_codec.apdus import set as setting
from dlms_codec.apdus.acse import Aare, Aarq, Diagnostic, Rlre, Rlrq
from dlms_codec.apdus.addressing import (
    AccessResult,
    ActionResult,
    Attribute,
    DataBlock,
    Failure,
    Method,
    SelectiveAccess,
    Value,
)
from dlms_codec.apdus.initiate import Conformance, InitiateRequest, InitiateResponse
from dlms_codec.apdus.notifications import DataNotification, EventNotification
from dlms_codec.apdus.refusals import ConfirmedServiceError, ExceptionResponse
from dlms_codec.blocks import GeneralBlockTransfer
from dlms_codec.numbers import INTEGERS, Enum, Int8, Int32, SizedInt, UInt16, UInt32
from dlms_codec.options import Quirk
from dlms_codec.protection import (
    SERVICES,
    GeneralCiphered,
    GeneralCiphering,
    ProtectedText,
    ServiceCiphered,
)

short = st.binary(max_size=40)
widths = st.sampled_from([0, 0, 0, 2, 3])


def integers(kind: type[SizedInt]) -> st.SearchStrategy[SizedInt]:
    bits = 8 * kind.size
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind.signed else (0, (1 << bits) - 1)
    return st.integers(low, high).map(kind)


numbers = st.sampled_from(INTEGERS).flatmap(integers)
moments = st.one_of(
    st.binary(min_size=12, max_size=12).map(DateTime),
    st.binary(min_size=5, max_size=5).map(Date),
    st.binary(min_size=4, max_size=4).map(Time),
)
floats = st.one_of(
    st.binary(min_size=4, max_size=4).map(Float32), st.binary(min_size=8, max_size=8).map(Float64)
)
texts = st.builds(VisibleString, short, widths) | st.builds(Utf8String, short, widths)
bit_strings = st.binary(max_size=9).flatmap(
    lambda raw: st.integers(max(0, 8 * len(raw) - 7), 8 * len(raw)).map(
        lambda count: BitString(count, raw)
    )
)
compact_arrays = st.lists(st.tuples(integers(UInt32), integers(Int8)), max_size=5).map(
    lambda rows: CompactArray(
        TypeDescription(2, 0, (TypeDescription(6), TypeDescription(15))),
        b"".join(a.encode()[1:] + b.encode()[1:] for a, b in rows),
    )
)
leaves: st.SearchStrategy[Data] = st.one_of(
    numbers,
    short,
    st.builds(OctetString, short, st.sampled_from([2, 3, 4])),
    texts,
    moments,
    floats,
    bit_strings,
    compact_arrays,
    st.just(DontCare()),
    st.none(),
)
data: st.SearchStrategy[Data] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Array, st.lists(inner, max_size=5), widths),
        st.builds(Structure, st.lists(inner, max_size=5), widths),
    ),
    max_leaves=20,
)

codes = st.binary(min_size=6, max_size=6).map(Obis)
byte = st.integers(0, 255)
four = st.integers(0, 2**32 - 1)
access = st.none() | st.builds(SelectiveAccess, byte, data)
attributes = st.builds(Attribute, st.integers(0, 65535), codes, st.integers(-128, 127), access)
plain_attributes = st.builds(Attribute, st.integers(0, 65535), codes, st.integers(-128, 127))
methods = st.builds(Method, st.integers(0, 65535), codes, st.integers(-128, 127))
blocks = st.builds(DataBlock, st.booleans(), four, short)
results: st.SearchStrategy[Value | Failure] = st.builds(Value, data) | st.builds(
    Failure, st.sampled_from(AccessResult)
)
outcomes = st.builds(action.Outcome, st.sampled_from(ActionResult), st.none() | results)
several_attributes = st.lists(attributes, max_size=3).map(tuple)
several_methods = st.lists(methods, max_size=3).map(tuple)
several_data = st.lists(data, max_size=3).map(tuple)
codes_of_results = st.lists(st.sampled_from(AccessResult), max_size=3).map(tuple)

accesses = st.one_of(
    st.builds(access_service.Access, st.sampled_from([1, 2]), attributes),
    st.builds(access_service.Access, st.just(3), methods),
)
several_accesses = st.lists(accesses, max_size=3).map(tuple)
access_outcomes = st.lists(
    st.one_of(
        st.builds(
            access_service.AccessOutcome, st.sampled_from([1, 2]), st.sampled_from(AccessResult)
        ),
        st.builds(access_service.AccessOutcome, st.just(3), st.sampled_from(ActionResult)),
    ),
    max_size=3,
).map(tuple)

services = st.one_of(
    st.builds(get.GetRequest, byte, attributes),
    st.builds(get.GetRequestNext, byte, four),
    st.builds(get.GetRequestList, byte, several_attributes),
    st.builds(get.GetResponse, byte, results),
    st.builds(get.GetResponseBlock, byte, st.booleans(), four, short),
    st.builds(get.GetResponseBlock, byte, st.booleans(), four,
              st.builds(Failure, st.sampled_from(AccessResult))),
    st.builds(get.GetResponseList, byte, st.lists(results, max_size=3).map(tuple)),
    st.builds(setting.SetRequest, byte, attributes, data),
    st.builds(setting.SetRequestFirstBlock, byte, attributes, blocks),
    st.builds(setting.SetRequestBlock, byte, blocks),
    st.builds(setting.SetRequestList, byte, several_attributes, several_data),
    st.builds(setting.SetRequestListFirstBlock, byte, several_attributes, blocks),
    st.builds(setting.SetResponse, byte, st.sampled_from(AccessResult)),
    st.builds(setting.SetResponseBlock, byte, four),
    st.builds(setting.SetResponseLastBlock, byte, st.sampled_from(AccessResult), four),
    st.builds(setting.SetResponseListLastBlock, byte, codes_of_results, four),
    st.builds(setting.SetResponseList, byte, codes_of_results),
    st.builds(action.ActionRequest, byte, methods, data | st.just(action.NO_PARAMETERS)),
    st.builds(action.ActionRequestNext, byte, four),
    st.builds(action.ActionRequestList, byte, several_methods, several_data),
    st.builds(action.ActionRequestFirstBlock, byte, methods, blocks),
    st.builds(action.ActionRequestListFirstBlock, byte, several_methods, blocks),
    st.builds(action.ActionRequestBlock, byte, blocks),
    st.builds(action.ActionResponse, byte, outcomes),
    st.builds(action.ActionResponseBlock, byte, blocks),
    st.builds(action.ActionResponseList, byte, st.lists(outcomes, max_size=3).map(tuple)),
    st.builds(action.ActionResponseNext, byte, four),
    st.builds(access_service.AccessRequest, four, short, several_accesses, several_data),
    st.builds(access_service.AccessResponse, four, short, st.none() | several_accesses,
              several_data, access_outcomes),
)  # fmt: skip

date_times = st.binary(min_size=12, max_size=12).map(DateTime)
conformances = st.integers(0, 2**24 - 1).map(Conformance)
two = st.integers(0, 65535)
titles = st.binary(min_size=8, max_size=8)


@st.composite
def protected_texts(draw: st.DrawFn) -> ProtectedText:
    control = draw(byte)
    tag = draw(st.binary(min_size=12, max_size=12)) if control & 0x10 else b""
    return ProtectedText(control, draw(four), draw(short), tag, draw(st.sampled_from([0, 2])))


optional = st.none() | short
messages = st.one_of(
    services,
    st.builds(DataNotification, four, st.none() | date_times, data),
    st.builds(DataNotification, four, date_times, data, st.just(Quirk.TAGGED_TIME)),
    st.builds(EventNotification, st.none() | date_times, plain_attributes, data),
    st.builds(InitiateRequest, conformances, two, optional, st.sampled_from([None, True, False]),
              st.none() | byte),
    st.builds(InitiateResponse, conformances, two, two, st.none() | byte),
    st.builds(ExceptionResponse, byte, st.integers(0, 5)),
    st.builds(ExceptionResponse, byte, st.just(6), four),
    st.builds(ConfirmedServiceError, byte, byte, byte),
    st.builds(Aarq, byte, optional, optional, st.none() | byte, st.none() | byte, optional,
              st.none() | byte),
    st.builds(Aare, byte, byte, st.builds(Diagnostic, st.sampled_from([1, 2]), byte), optional,
              optional, st.none() | byte, st.none() | byte, optional),
    st.builds(Rlrq, st.none() | byte, optional),
    st.builds(Rlre, st.none() | byte, optional),
    st.builds(GeneralCiphered, titles, protected_texts(), st.booleans()),
    st.builds(GeneralCiphering, short, titles, titles, short, short,
              st.sampled_from([b"", b"\0\0", b"\x01\x00\x02ab"]), protected_texts()),
    st.builds(ServiceCiphered, st.sampled_from(sorted(SERVICES)), protected_texts()),
    st.builds(GeneralBlockTransfer, byte, two, two, short),
)  # fmt: skip

# Pushes as meters lay them out.

push_codes = st.tuples(st.integers(0, 1), byte, byte, byte, byte).map(
    lambda groups: bytes([*groups, 255])
)
scaler_units = st.tuples(integers(Int8), integers(Enum)).map(Structure)
push_values: st.SearchStrategy[Data] = st.one_of(
    st.sampled_from([UInt32, UInt16, Int32]).flatmap(integers),
    st.binary(min_size=7, max_size=20),
    st.binary(max_size=20).map(VisibleString),
)


@st.composite
def entries(draw: st.DrawFn) -> tuple[Data, ...]:
    """Code and value, with scaler and unit or without."""
    pair = (draw(push_codes), draw(push_values))
    return (*pair, draw(scaler_units)) if draw(st.booleans()) else pair


nested_pushes = st.builds(
    lambda rows, kind: kind(map(Structure, rows)),
    st.lists(entries(), min_size=1, max_size=8),
    st.sampled_from([Array, Structure]),
)
flat_pushes = st.builds(
    lambda head, rows: Structure((*head, *(item for row in rows for item in row))),
    st.sampled_from([(), (VisibleString(b"List_V1"),), (DateTime(bytes(12))[:],)]),
    st.lists(entries(), min_size=1, max_size=8),
)
bare_pushes = st.lists(push_values, min_size=1, max_size=8).map(Structure)
listed_objects = st.tuples(
    st.sampled_from([1, 3, 8, 40]).map(UInt16), push_codes, st.just(Int8(2)), st.just(UInt16(0))
).map(Structure)


@st.composite
def listed_pushes(draw: st.DrawFn) -> Structure:
    """A list of objects, and their values: one for each, one less, or one more."""
    objects = draw(st.lists(listed_objects, min_size=1, max_size=5))
    size = len(objects) + draw(st.sampled_from([-1, 0, 0, 1]))
    return Structure((Array(objects), *draw(st.lists(push_values, min_size=size, max_size=size))))


descriptors = st.tuples(
    integers(UInt16), push_codes, integers(Int8), push_values, scaler_units
).map(Structure)
described_pushes = st.builds(Array, st.lists(descriptors, min_size=1, max_size=5))
push_bodies: st.SearchStrategy[Data] = st.one_of(
    nested_pushes, flat_pushes, bare_pushes, listed_pushes(), described_pushes, data
)
