# SPDX-License-Identifier: Apache-2.0
"""Made-up M-Bus: heads, records, bodies, addresses."""

from hypothesis import strategies as st

from meter_codecs.mbus import Address, Body, Record, make_body, make_record, read_head

numbers = st.text("0123456789", min_size=8, max_size=8)
addresses = st.builds(
    Address, st.integers(0, 0x7FFF), numbers, st.integers(0, 255), st.integers(0, 255)
)


def _chain(first: int, more: bytes) -> bytes:
    """Return a code and its extensions, each but the last with its extension bit."""
    codes = [first & 0x7F, *(code & 0x7F for code in more)]
    return bytes([*(code | 0x80 for code in codes[:-1]), codes[-1]])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    kind = draw(st.integers(0, 14))
    dif = kind | draw(st.sampled_from([0x00, 0x10, 0x20, 0x30, 0x40, 0x70]))
    information = _chain(dif, draw(st.binary(max_size=10)))
    vif = draw(st.integers(0, 0x7F))
    more = draw(st.binary(max_size=9))
    if vif in (0x7B, 0x7D):
        more = more or b"\x17"
    if vif == 0x7C:
        text = draw(st.binary(max_size=5))
        codes = _chain(vif, more)
        return information + codes[:1] + bytes([len(text)]) + text + codes[1:]
    return information + _chain(vif, more)


@st.composite
def records(draw: st.DrawFn) -> Record:
    wire = draw(heads())
    head = read_head(wire, 0)
    if head.size >= 0:
        data = draw(st.binary(min_size=head.size, max_size=head.size))
    else:
        content = draw(st.binary(max_size=9))
        code = draw(st.sampled_from([0x00, 0xC0, 0xD0, 0xE0]))
        data = bytes([code | len(content)]) + content
    return Record(head, data, head.decode(data), 0)


def _placed(made: list[Record], own: bytes | None, more: bool) -> Body:
    if own is None:
        return make_body(made, more_follows=more)
    return make_body(made, own_data=own, more_follows=more)


bodies = st.builds(
    _placed,
    st.lists(records(), max_size=6),
    st.none() | st.binary(max_size=12),
    st.booleans(),
)
plain_records = st.one_of(
    st.integers(-(1 << 31), (1 << 31) - 1).map(lambda n: make_record(b"\x04\x13", n)),
    st.integers(-9_999_999, 99_999_999).map(lambda n: make_record(b"\x0c\x06", n)),
    st.dates().filter(lambda d: 1981 <= d.year <= 2080).map(lambda d: make_record(b"\x42\x6c", d)),
    st.text("ABC123", max_size=20).map(lambda t: make_record(b"\x0d\x78", t)),
)
plain_bodies = st.lists(plain_records, min_size=1, max_size=6).map(make_body)
