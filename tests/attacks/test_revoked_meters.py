# SPDX-License-Identifier: Apache-2.0
"""Meter certificates that end: new readings are set aside or refused, old days stay valid."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.device import Device, DeviceError
from hub.meters.trust import MeterTrustError
from meterlet.key_files import public_pem
from protocols.aggregation.errors import MalformedMessage, RoundRefused
from protocols.aggregation.members import (
    MeterCertificate,
    RosterMember,
    TermedCertificate,
    decode_certificate,
)
from protocols.aggregation.revocations import (
    Revocation,
    RevocationList,
    require_standing,
    revoked_since,
)
from protocols.aggregation.round import Round
from protocols.aggregation.rules import Rules
from protocols.metrology import CertifiedDay
from tests.support.aggregation import AUTHORITY, announce, homes, public_of
from tests.support.command import run_meterlet
from tests.support.rotating import NOW, fill, make_hub
from tests.support.town import done, refused
from utility_server.errors import EnrolmentRefused, VerificationFailed
from utility_server.grid.authority import Authority
from utility_server.retail.revoked_days import require_standing_days
from utility_server.revocations import read_revocations, take_revocations

DAY = 86_400
FIRST = date(2025, 3, 1)
SEED = bytes([9] * 32)
KEYS = [bytes([n] * 32) for n in (1, 2, 3)]


def at(day: int) -> int:
    """Return the midnight (Berlin) that day `day` of March 2025 begins with."""
    return int(datetime(2025, 3, day, tzinfo=UTC).timestamp()) - 3600


def listed(number: int, *entries: tuple[bytes, int]) -> RevocationList:
    made = [Revocation(key, since) for key, since in sorted(entries)]
    return RevocationList(number, NOW, tuple(made)).signed(SEED)


def test_a_certificate_with_an_end_is_another_message_and_not_taken_for_one_without() -> None:
    termed = TermedCertificate("Nord", b"meter", KEYS[0], at(1), at(9)).signed(SEED)
    plain = MeterCertificate("Nord", b"meter", KEYS[0]).signed(SEED)
    authority = public_of(SEED)
    for one in (termed, plain):
        assert decode_certificate(one.encode()) == one
        assert one.is_by(authority)
    stripped = MeterCertificate("Nord", b"meter", KEYS[0], signature=termed.signature)
    assert not stripped.is_by(authority)
    assert not replace(termed, ends=at(20)).is_by(authority)
    with pytest.raises(MalformedMessage, match="begins before it ends"):
        TermedCertificate("Nord", b"meter", KEYS[0], at(9), at(9))


@pytest.mark.parametrize(
    ("begin", "end", "why"),
    [
        (at(1), at(3), "begins"),
        (at(8), at(11), "ended"),
        (at(5), at(8), "was revoked from"),
    ],
)
def test_readings_outside_of_a_certificates_time_are_refused_by_name(
    begin: int, end: int, why: str
) -> None:
    certificate = TermedCertificate("Nord", b"meter", KEYS[0], at(2), at(10)).signed(SEED)
    lists = [listed(1, (KEYS[0], at(7)), (KEYS[1], at(3)))]
    require_standing(certificate, at(3), at(7), lists)  # up to that moment all stays valid
    with pytest.raises(RoundRefused, match=f"meter {b'meter'.hex()}: its certificate {why}"):
        require_standing(certificate, begin, end, lists)


def test_a_list_goes_on_from_the_one_before_and_lets_nobody_back_in(tmp_path: Path) -> None:
    folder, authorities = tmp_path, (public_of(SEED),)
    (folder / "authorities").mkdir()
    first = listed(3, (KEYS[0], at(7)))
    assert take_revocations(folder, authorities, first.encode()) == first
    assert take_revocations(folder, authorities, first.encode()) == first
    for worse in (
        listed(2, (KEYS[0], at(7)), (KEYS[1], at(3))),  # an earlier list
        listed(3, (KEYS[0], at(7)), (KEYS[1], at(3))),  # two of one number
        listed(4, (KEYS[1], at(3))),  # one who is left out
        listed(4, (KEYS[0], at(8))),  # one who is let back in for a day
    ):
        with pytest.raises(EnrolmentRefused, match="does not go on from list 3"):
            take_revocations(folder, authorities, worse.encode())
    forged = replace(first, number=9).signed(bytes([8] * 32))
    with pytest.raises(EnrolmentRefused, match="no authority that is trusted"):
        take_revocations(folder, authorities, forged.encode())
    later = first.revoking(KEYS[1], at(3), NOW).signed(SEED)
    take_revocations(folder, authorities, later.encode())
    assert revoked_since(KEYS[1], read_revocations(folder, authorities)) == at(3)
    with pytest.raises(MalformedMessage, match="from an earlier moment already"):
        later.revoking(KEYS[0], at(20), NOW)


def test_any_other_bytes_are_no_list() -> None:
    data = listed(1, (KEYS[0], at(7)), (KEYS[1], at(3))).encode()
    authority = public_of(SEED)
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            assert not RevocationList.decode(changed).is_by(authority)
        except MalformedMessage:
            continue
    with pytest.raises(MalformedMessage, match="not in order"):
        RevocationList(1, 1, (Revocation(KEYS[1], 1), Revocation(KEYS[0], 1)))


def test_an_authority_keeps_its_list_and_raises_its_number(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "authority")
    folder = tmp_path / "authority"
    one = authority.revoke(folder, KEYS[0], at(7), NOW)
    two = authority.revoke(folder, KEYS[1], at(3), NOW)
    assert (one.number, two.number, len(two.entries)) == (1, 2, 2)
    assert two.replaces(one)
    assert two.is_by(authority.public_key.public_bytes_raw())
    with pytest.raises(EnrolmentRefused, match="earlier moment"):
        authority.revoke(folder, KEYS[0], at(9), NOW)


# The utility


def test_a_utility_refuses_days_after_a_revocation_and_keeps_those_before(tmp_path: Path) -> None:
    with make_hub(tmp_path / "hub") as device:
        days = [CertifiedDay.decode(one.certified) for one in device.main.journal.between(
            FIRST, date(2025, 3, 31))]  # fmt: skip
        key = device.main.certifier.keys.signing_public_key
    lists = [listed(1, (key, at(3)))]
    require_standing_days(days[:2], key, lists)
    with pytest.raises(VerificationFailed, match=r"revoked: 2025-03-03: .* 2025-03-02T23:00:00Z"):
        require_standing_days(days, key, lists)
    require_standing_days(days, key, [listed(1, (KEYS[0], at(1)))])


def test_a_revoked_key_announces_no_other_however_it_is_dated(tmp_path: Path) -> None:
    with make_hub(tmp_path / "hub") as device:
        revoked = device.main.certifier.keys
        device.rotate_certifier_key()
    with Device.open(tmp_path / "hub", now=lambda: NOW) as device:
        fill(device, date(2025, 3, 4), date(2025, 3, 5))
        days = [CertifiedDay.decode(one.certified) for one in device.main.journal.between(
            FIRST, date(2025, 3, 31))]  # fmt: skip
        root = device.main.certifier.keys.public_key.public_bytes_raw()
    lists = [listed(1, (revoked.signing_public_key, at(20)))]
    with pytest.raises(VerificationFailed, match="announced by one that was revoked"):
        require_standing_days(days, root, lists)
    require_standing_days(days[:3], root, lists)
    require_standing_days(days, root, lists, days[4].announcements)  # known before the list


# The hub


@pytest.fixture
def device(tmp_path: Path) -> Device:
    made = make_hub(tmp_path / "hub")
    key = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    (tmp_path / "hub" / "authorities" / "0.pem").write_bytes(public_pem(key))
    return made


def _by_end(device: Device) -> None:
    own, key = device.description.meter, device.main.certifier.keys.signing_public_key
    certificate = TermedCertificate("Nord", own, key, at(1), at(6)).signed(SEED)
    device.meter_trust.take_certificate(certificate.encode(), own, key)


def _by_revocation(device: Device) -> None:
    key = device.main.certifier.keys.signing_public_key
    device.meter_trust.take_revocations(listed(1, (key, at(6))).encode())


@pytest.mark.parametrize("ended", [_by_end, _by_revocation])
def test_a_hub_sets_readings_aside_after_the_end_and_keeps_the_days_before(
    device: Device, ended: Callable[[Device], None]
) -> None:
    with device:
        ended(device)
        fill(device, date(2025, 3, 4), date(2025, 3, 9))
        span, latest = device.main.journal.span(), device.main.vault.latest(device.main.channel)
        assert span == (FIRST, date(2025, 3, 5), 5)
        assert latest is not None
        assert latest.time >= at(10)  # the resident's own, though nobody is shown them
        assert device.certified_no_further() == at(6)
        assert device.certify() == 0


def test_a_hub_whose_key_is_revoked_announces_no_other(device: Device) -> None:
    with device:
        _by_revocation(device)
        with pytest.raises(DeviceError, match="nobody believes what it announces"):
            device.rotate_certifier_key()


def test_a_hub_takes_no_certificate_of_another_meter_key_or_authority(device: Device) -> None:
    with device:
        own, key = device.description.meter, device.main.certifier.keys.signing_public_key
        for meter, certifier, seed in (
            (b"another", key, SEED), (own, KEYS[0], SEED), (own, key, bytes(32)),
        ):  # fmt: skip
            certificate = TermedCertificate("Nord", meter, certifier, at(1), at(6)).signed(seed)
            with pytest.raises(MeterTrustError):
                device.meter_trust.take_certificate(certificate.encode(), own, key)
        assert device.certified_no_further() is None


# Rounds


def test_a_member_with_a_term_crosses_the_wire_and_a_revoked_one_ends_the_round() -> None:
    announced = announce(homes(6, 24))
    begin, end = announced.terms.bounds
    member = announced.members[0]
    termed = TermedCertificate(
        member.certificate.region, member.meter, member.certificate.certifier, begin, end
    ).signed(AUTHORITY)
    changed = RosterMember(termed, member.keys)
    decoded = RosterMember.decode(changed.encode(), termed.region, member.keys.nonce)
    assert decoded == changed
    decoded.verify([public_of(AUTHORITY)])
    assert Round.decode(announced.encode()) == announced
    rules = Rules((public_of(AUTHORITY),), 5, least_key_bits=1024)
    rules.require_round(announced, announced.valid_until - 60)
    revoked = listed(1, (member.certificate.certifier, end - 1))
    with pytest.raises(RoundRefused, match="was revoked from"):
        replace(rules, revocations=(revoked,)).require_round(announced, announced.valid_until - 60)
    before = listed(1, (member.certificate.certifier, end))
    replace(rules, revocations=(before,)).require_round(announced, announced.valid_until - 60)


# By command


def test_lists_and_certificates_go_from_the_authority_to_hubs_utilities_and_the_mdms(
    tmp_path: Path,
) -> None:
    with make_hub(tmp_path / "hub") as device:
        key, meter = device.main.certifier.keys.signing_public_key.hex(), device.description.meter
    folder, pem = tmp_path / "authority", tmp_path / "authority" / "public.pem"
    done("authority", "init", folder)
    (tmp_path / "hub" / "authorities" / "0.pem").write_bytes(pem.read_bytes())
    certify = ("authority", "certify", "--authority", folder, "--region", "Nord", "--meter")
    term = ("--from", "2025-03-01", "--until", "2026-02-28", "-o", tmp_path / "meter.certificate")
    done(*certify, meter.hex(), "--certifier", key, *term)
    said = done("hub", "keys", "certificate", "--hub", tmp_path / "hub", term[-1])
    assert said == "days are certified until 2026-03-01T00:00:00Z\n"
    revoke = ("authority", "revoke", "--authority", folder, "--certifier", key, "--from")
    done(*revoke, "2025-03-06", "-o", tmp_path / "list")
    done("hub", "keys", "revoke", "--hub", tmp_path / "hub", tmp_path / "list")
    more = ("synthetic", "--from", "2025-03-04", "--until", "2025-03-09")
    ran = run_meterlet("hub", "ingest", "--hub", tmp_path / "hub", *more)
    assert ran.returncode == 0
    assert (
        "set aside, not certified: the meter's certificate has ended or was revoked" in ran.stderr
    )
    done("utility", "init", tmp_path / "utility")
    taking = ("utility", "revoke", "--utility", tmp_path / "utility", tmp_path / "list")
    code, line = refused(*taking)
    assert (code, "no authority that is trusted here" in line) == (1, True)
    assert done(*taking, "--authority", pem) == "list 1, 1 revocations\n"
    assert done(*taking) == "list 1, 1 revocations\n"
    code, line = refused(*revoke, "2025-03-09", "-o", tmp_path / "later")
    assert (code, "from an earlier moment already" in line) == (1, True)
