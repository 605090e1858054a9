# SPDX-License-Identifier: Apache-2.0
"""New versions that a recipient brings: nothing widens without the resident's yes.

The promise: a recipient that the resident lets bring new versions of its applet has no more told to
it than the resident has agreed to. What asks for more waits, and the version in place answers on.
No old version comes back but the one that was there before. Others' applets are out of reach.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.card.packages.cap_file import CapFile
from hub.card.packages.host_tool import CardManager
from hub.device import Device
from hub.disclosure import Consent
from hub.installer import InstallationError, Installer
from hub.machine.machine import AppletMachine
from hub.offers import accept_offer, find_offer, let_manage, offers_of, refuse_offer
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu
from protocols.iso7816.tlv import encode_lv
from tests.support.sharing import AIDS, APRIL, Home, new_home
from tests.support.versions import NARROWER, WIDER, Bringer, version

CAT = AIDS["cat"]
TELLS = {"case 2:": 'case 9:\n                return Response(b"newer")\n            case 2:'}


@dataclass
class Brought:
    """A home whose applet `cat` is in use, and its recipient."""

    home: Home
    recipient: Bringer

    @property
    def package(self) -> bytes:
        entry = self.home.card.find(CAT)
        assert entry is not None
        return entry.package

    @property
    def in_place(self) -> str:
        entry = self.home.card.find(self.package)
        assert entry is not None
        return ".".join(map(str, entry.version))

    @property
    def standing(self) -> list[Consent]:
        consents = self.home.device.disclosure.consents()
        return [one for one in consents if one.revoked is None and one.terms.applet == CAT]

    def tells(self) -> int:
        """Have a number told; return the status word."""
        return self.home.send("cat", 5, b"open").sw

    def installer(self) -> Installer:
        return Installer(self.home.device, self.home.card)


@pytest.fixture(scope="module")
def usual(
    tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine
) -> tuple[Path, dict[str, Enrolment]]:
    """A home that each test has a copy of."""
    folder = tmp_path_factory.mktemp("usual")
    with new_home(folder, machine) as home:
        home.install("cat")
        home.install("dog")
        let_manage(Installer(home.device, home.card), CAT, is_allowed=True)
        return folder, home.enrolments


@pytest.fixture
def brought(
    tmp_path: Path, machine: AppletMachine, usual: tuple[Path, dict[str, Enrolment]]
) -> Iterator[Brought]:
    folder, enrolments = usual
    copytree(folder, tmp_path / "home")
    with Device.open(tmp_path / "home" / "hub", now=lambda: APRIL) as device:
        home = Home(device, device.card(machine), tmp_path / "home", enrolments)
        yield Brought(home, Bringer(home.card, enrolments["cat"]))


def test_a_version_that_asks_for_no_more_comes_into_its_place_with_the_consents(
    brought: Brought,
) -> None:
    before = brought.standing
    assert brought.recipient.bring(version(brought.home, "0.2.0", TELLS)) == 0x9000
    assert (brought.in_place, offers_of(brought.home.device)) == ("0.2", [])
    assert brought.home.send("cat", 9).data == b"newer"
    assert brought.tells() == 0x9000
    digest = brought.installer().bundle(CAT).digest
    assert [one.terms for one in brought.standing] == [
        replace(one.terms, package=digest) for one in before
    ]
    events = [
        entry.facts["event"] for entry in brought.home.device.disclosure.log.entries("version")
    ]
    assert events == ["in place"]


def test_a_version_that_asks_for_more_waits_and_the_old_one_answers_on(
    brought: Brought,
) -> None:
    before = brought.standing
    assert brought.recipient.bring(version(brought.home, "0.2.0", {**TELLS, **WIDER})) == 0x9000
    assert brought.in_place == "0.1"
    assert brought.home.send("cat", 9).data != b"newer"
    assert brought.tells() == 0x9000
    assert brought.standing == before
    [offer] = offers_of(brought.home.device)
    assert (offer.version, offer.in_place, offer.applets[0].asks_for_more) == ("0.2", "0.1", True)


def test_the_resident_says_yes_to_what_was_shown_and_to_nothing_else(brought: Brought) -> None:
    home = brought.home
    assert brought.recipient.bring(version(home, "0.2.0", WIDER)) == 0x9000
    shown = find_offer(home.device, CAT)
    # While the resident reads, the recipient brings one that asks for still more.
    assert brought.recipient.bring(version(home, "0.3.0", {"at_most = 2": "at_most = 9"})) == 0x9000
    with pytest.raises(InstallationError, match="6985"):
        accept_offer(brought.installer(), shown)
    assert brought.in_place == "0.1"
    assert {one.terms.answers for one in brought.standing} == {2}
    assert brought.tells() == 0x9000
    accept_offer(brought.installer(), find_offer(home.device, brought.package))
    assert (brought.in_place, offers_of(home.device)) == ("0.3", [])
    assert {one.terms.answers for one in brought.standing} == {9}
    assert brought.tells() == 0x9000


def test_the_recipient_cannot_say_yes_for_the_resident(brought: Brought) -> None:
    home = brought.home
    assert brought.recipient.bring(version(home, "0.2.0", WIDER)) == 0x9000
    digest = find_offer(home.device, CAT).digest
    for p1, named in ((0x02, digest), (0x02, b""), (0x04, digest)):
        assert brought.recipient.upgrade(p1, brought.package, named) == 0x6985
    assert brought.in_place == "0.1"
    assert len(offers_of(home.device)) == 1
    # It may take it back.
    assert brought.recipient.upgrade(0x04, brought.package) == 0x9000
    assert offers_of(home.device) == []


def test_what_the_resident_has_refused_is_not_offered_again(brought: Brought) -> None:
    content = version(brought.home, "0.2.0", WIDER)
    assert brought.recipient.bring(content) == 0x9000
    refuse_offer(brought.installer(), find_offer(brought.home.device, CAT))
    assert brought.recipient.bring(content) == 0x6985
    assert offers_of(brought.home.device) == []
    assert brought.in_place == "0.1"
    assert brought.tells() == 0x9000


def test_what_the_resident_has_narrowed_or_revoked_stays_so(brought: Brought) -> None:
    disclosure = brought.home.device.disclosure
    [consent] = brought.standing
    disclosure.narrow(consent.number, replace(consent.terms, answers=1))
    assert brought.recipient.bring(version(brought.home, "0.2.0")) == 0x9000
    assert [one.terms.answers for one in brought.standing] == [1]
    assert brought.tells() == 0x9000
    disclosure.revoke(brought.standing[0].number)
    assert brought.recipient.bring(version(brought.home, "0.3.0")) == 0x9000
    assert (brought.in_place, brought.standing) == ("0.3", [])
    assert brought.tells() == 0x6985


def test_a_narrower_version_narrows_and_going_back_from_it_needs_a_yes(brought: Brought) -> None:
    assert brought.recipient.bring(version(brought.home, "0.2.0", NARROWER)) == 0x9000
    assert [one.terms.answers for one in brought.standing] == [1]
    assert brought.recipient.upgrade(0x10, brought.package) == 0x9000
    assert brought.in_place == "0.2"  # what was there asks for more than what is
    [offer] = offers_of(brought.home.device)
    assert (offer.version, offer.is_older) == ("0.1", True)
    accept_offer(brought.installer(), offer)
    assert brought.in_place == "0.1"
    assert [one.terms.answers for one in brought.standing] == [2]


def test_an_old_version_comes_back_only_as_the_one_that_was_there_before(
    brought: Brought,
) -> None:
    first, second = (version(brought.home, f"0.{number}.0") for number in (1, 2))
    assert brought.recipient.upgrade(0x10, brought.package) == 0x6985  # there was none before
    assert brought.recipient.bring(second) == 0x9000
    assert brought.recipient.bring(first) == 0x6985
    assert brought.recipient.bring(second) == 0x6985
    assert "not newer" in str(brought.recipient.reasons)
    assert brought.recipient.bring(version(brought.home, "0.3.0")) == 0x9000
    assert brought.recipient.upgrade(0x10, brought.package) == 0x9000
    assert brought.in_place == "0.2"
    assert brought.tells() == 0x9000
    assert brought.recipient.upgrade(0x10, brought.package) == 0x6985  # and no further
    assert brought.recipient.bring(first) == 0x6985
    assert brought.recipient.bring(version(brought.home, "0.3.0")) == 0x9000


@pytest.mark.parametrize("trusted", [False, True])
def test_a_package_of_another_vendor_is_refused(brought: Brought, trusted: bool) -> None:
    other = Ed25519PrivateKey.generate()
    if trusted:
        vendors = brought.home.card.runtime.vendors  # type: ignore[attr-defined]
        vendors[b"other"] = other.public_key()
    assert brought.recipient.bring(version(brought.home, "0.2.0", signer=other)) == 0x6A80
    assert brought.in_place == "0.1"
    assert brought.tells() == 0x9000


def test_a_recipient_reaches_no_other_applet_and_nothing_once_the_resident_withdraws(
    brought: Brought,
) -> None:
    home = brought.home
    dog = home.card.find(AIDS["dog"])
    assert dog is not None
    for p1 in (0x01, 0x04, 0x08, 0x10):
        assert brought.recipient.upgrade(p1, dog.package) == 0x6985
    # Nor does it put its applet into another's domain, by extradition or registry update.
    other = home.enrolments["dog"].security_domain
    for p1 in (0x10, 0x40):
        fields = encode_lv(other, b"", CAT, b"", b"", b"")
        command = CommandApdu(0x80, 0xE6, p1, 0, fields, le=256)
        assert brought.recipient.client().send(command).sw == 0x6985
    # Nor does what it has begun stand in another's way.
    assert brought.recipient.upgrade(0x01, brought.package) == 0x9000
    neighbour = Bringer(home.card, home.enrolments["dog"])
    assert neighbour.bring(version(home, "0.2.0", name="dog")) == 0x6985  # nobody has let it
    let_manage(brought.installer(), AIDS["dog"], is_allowed=True)
    assert neighbour.bring(version(home, "0.2.0", name="dog")) == 0x9000
    let_manage(brought.installer(), CAT, is_allowed=False)
    assert brought.recipient.bring(version(home, "0.2.0")) == 0x6985
    assert brought.recipient.upgrade(0x10, brought.package) == 0x6985
    assert brought.in_place == "0.1"


def test_an_applet_that_is_deleted_and_loaded_anew_releases_nothing_more(
    brought: Brought,
) -> None:
    home, package = brought.home, brought.package
    assert brought.recipient.bring(version(home, "0.2.0", NARROWER)) == 0x9000
    wide = CapFile.decode(version(home, "0.1.0", WIDER))
    manager = CardManager(brought.recipient.client(), 0x4000)
    manager.delete(CAT)
    manager.delete(package)
    manager.load(wide, domain=home.enrolments["cat"].security_domain)
    manager.install(CAT, package=package, module=CAT, parameters=bytes(32))
    assert brought.in_place == "0.1"
    assert brought.tells() == 0x6985  # the consents are for the version that was there


def test_a_load_that_is_cut_off_leaves_the_version_in_place(brought: Brought) -> None:
    cap = CapFile.decode(version(brought.home, "0.2.0"))
    assert brought.recipient.upgrade(0x01, cap.file.aid) == 0x9000
    assert brought.recipient.install_for_load(cap.file.aid) == 0x9000
    assert brought.in_place == "0.1"
    assert brought.tells() == 0x9000
    assert brought.recipient.upgrade(0x04) == 0x9000
    assert brought.recipient.bring(version(brought.home, "0.2.0")) == 0x9000
    assert brought.in_place == "0.2"
