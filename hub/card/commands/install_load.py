# SPDX-License-Identifier: Apache-2.0
"""INSTALL and LOAD: packages and applications come onto the card (GPCS 2.3.1, 11.5 and 11.6).

    INSTALL  P1  02 load, 04 install, 08 make selectable (0C both, 0E combined with a load),
                 10 extradition, 20 personalization, 40 registry update; bit 8: more follows
             data  length-value fields, a token the last of them
    LOAD     P1  00 more follows, 80 the last block     P2  the block's number
             data  E2 (DAP blocks) ..  C4 length  load file data block

What a load brings is kept in memory until its last block; then all of it is checked, and either
everything is on the card or nothing.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Final

from hub.card.commands.get_data import require_authenticated, within
from hub.card.commands.parameters import (
    CODE,
    DATA,
    IMPLICIT,
    VOLATILE,
    Parameters,
    check_domain,
)
from hub.card.commands.tokens_receipts import NO_RECEIPT, authorise, confirm
from hub.card.entries import Kind, LifeCycle, Privilege, RegistryEntry, check_aid
from hub.card.keys.signatures import verify, verify_hash
from hub.card.logical_channel import CardCall
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw, refusing_malformed
from protocols.iso7816.apdu import ResponseApdu
from protocols.iso7816.errors import MalformedTlv
from protocols.iso7816.tlv import Cursor, Tlv
from protocols.packages.errors import PackageMalformed
from protocols.packages.load_file import NO_BUNDLE, LoadFile, lacks_bundle

LOAD, INSTALL, SELECTABLE, EXTRADITION, PERSONALISATION, REGISTRY = 2, 4, 8, 0x10, 0x20, 0x40
COMBINED, COMBINED_BEGIN, COMBINED_END = 0x0E, 0x01, 0x03
MORE: Final = 0x80
SIZES: Final = frozenset({CODE, VOLATILE, DATA})
DAP_BLOCK, DATA_BLOCK, SIGNATURE = 0xE2, 0xC4, 0xC3
DAP_VERSION, DAP_IDENTIFIER = 0x73, 0x01
HASHES: Final = {20: "sha1", 32: "sha256", 48: "sha384", 64: "sha512"}


@dataclass(frozen=True, slots=True)
class InstallFields:
    """The fields of one INSTALL, and what a token signs of them."""

    values: tuple[bytes, ...]
    signed: bytes
    token: bytes

    @classmethod
    def decode(cls, data: bytes, count: int) -> "InstallFields":
        """Read `count` fields and, where there is one more, a token; else raise `CardRefusal`."""
        cursor = Cursor(data)
        with refusing_malformed("INSTALL"):
            values = tuple(cursor.take(cursor.length(strict=False)) for _ in range(count))
            signed = data[: cursor.offset]
            token = b"" if cursor.at_end else cursor.take(cursor.length(strict=False))
        if not cursor.at_end:
            raise CardRefusal(Sw.WRONG_DATA, f"INSTALL has {len(cursor.rest)} bytes too many")
        return cls(values, signed, token)


@dataclass(slots=True)
class Loading:
    """A load that has begun."""

    aid: bytes
    domain: bytes
    hash: bytes
    limit: int | None
    """The bytes of code that were announced (C6)."""
    combined: bool
    blocks: int = 0
    data: bytearray = field(default_factory=bytearray)
    done: bool = False
    may_be_ours: bool | None = None
    """Whether its Directory names a program for this machine; None while that is not known."""


def decode_privileges(data: bytes) -> Privilege:
    """Return privileges of one byte or three; none at all is none."""
    if len(data) not in {0, 1, 3}:
        raise CardRefusal(Sw.WRONG_DATA, "privileges have one byte or three")
    value = int.from_bytes(data.ljust(3, b"\0"), "big")
    if value & 0x0F:
        raise CardRefusal(Sw.WRONG_DATA, "the last four privileges are reserved")
    return Privilege(value)


def install(card: CardParts, call: CardCall, data: bytes) -> ResponseApdu:
    """Carry out one INSTALL; `data` is that of the whole chain."""
    require_authenticated(call)
    p1, p2 = call.command.p1 & ~MORE, call.command.p2
    combined = p1 == COMBINED
    if p2 and not (combined and p2 in {COMBINED_BEGIN, COMBINED_END}):
        raise CardRefusal(Sw.WRONG_P1_P2, "P2 of INSTALL is 00, or 01 and 03 of a combined one")
    if p1 != COMBINED or p2 != COMBINED_END:
        call.channel.process = None
    match p1:
        case 0x02:
            return _for_load(card, call, data)
        case 0x0E if p2 == COMBINED_BEGIN:
            return _for_load(card, call, data, combined=True)
        case 0x0E:
            process, call.channel.process = call.channel.process, None
            if not isinstance(process, Loading) or not process.done:
                raise CardRefusal(
                    Sw.CONDITIONS_NOT_SATISFIED, "no combined load has come to its end"
                )
            return _for_install(card, call, data, INSTALL | SELECTABLE)
        case 0x04 | 0x0C:
            return _for_install(card, call, data, p1)
        case 0x08:
            return _for_make_selectable(card, call, data)
        case 0x10:
            return _for_extradition(card, call, data)
        case 0x20:
            return _for_personalisation(card, call, data)
        case 0x40:
            return _for_registry_update(card, call, data)
        case _:
            raise CardRefusal(Sw.WRONG_P1_P2, f"no INSTALL has P1 {p1:02X} (table 11-42)")


# LOAD


def _for_load(
    card: CardParts, call: CardCall, data: bytes, *, combined: bool = False
) -> ResponseApdu:
    fields = InstallFields.decode(data, 4)
    aid, domain, digest, parameters = fields.values
    authorise(card, call, fields.token, fields.signed)
    check_aid(aid, "load file")
    there = card.registry.find(aid) if aid == card.upgrades.awaited(call.domain) else None
    home = call.domain.aid if there is None else there.domain
    target = card.content.domain(domain or home)
    if there is not None and target.aid != home:
        raise CardRefusal(Sw.WRONG_DATA, "a new version stays in the old one's security domain")
    if not within(card, call.domain, target):
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the target belongs to another hierarchy")
    if target.is_locked:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the target security domain is locked")
    card.content.require_personalised(target)
    if there is None:
        card.content.require_new(aid)
    if digest and len(digest) not in HASHES:
        raise CardRefusal(Sw.WRONG_DATA, "the load file's hash is no SHA-1 or SHA-2 (table 11-47)")
    if not digest and not call.domain.has(Privilege.AUTHORIZED_MANAGEMENT):
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "a load with a token needs the hash (9.3.5)")
    quotas = Parameters.decode(card, parameters, system=SIZES)
    card.content.require_code_memory(target, quotas.code or 0)
    card.content.require_data_memory(target, quotas.volatile or 0, quotas.data or 0)
    call.channel.process = Loading(aid, target.aid, digest, quotas.code, combined=combined)
    return ResponseApdu(NO_RECEIPT, Sw.SUCCESS)


def load(card: CardParts, call: CardCall) -> ResponseApdu:
    """Take one block; the last one puts the package onto the card."""
    require_authenticated(call)
    command, process = call.command, call.channel.process
    if not isinstance(process, Loading) or process.done:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "no INSTALL [for load] came before (11.6)")
    # Whatever goes wrong below ends the load.
    call.channel.process = None
    if command.p1 not in {0x00, MORE}:
        raise CardRefusal(Sw.WRONG_P1_P2, "P1 of LOAD is 00 or, for the last block, 80")
    if command.p2 != process.blocks & 0xFF:
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED,
            f"block {command.p2:02X} came, {process.blocks & 0xFF:02X} was expected",
        )
    if len(process.data) + len(command.data) > card.content.free_code_memory() + (1 << 16):
        raise CardRefusal(Sw.NO_MEMORY, "the load file is larger than the memory left")
    process.data += command.data
    process.blocks += 1
    if process.may_be_ours is None:
        process.may_be_ours = _may_be_ours(bytes(process.data))
    if process.may_be_ours is False:
        raise CardRefusal(Sw.WRONG_DATA, NO_BUNDLE)
    if not command.p1 & MORE:
        call.channel.process = process
        return ResponseApdu(NO_RECEIPT, Sw.SUCCESS)
    _finish_load(card, call, process)
    if process.combined:
        process.done = True
        process.data.clear()
        call.channel.process = process
    receipt = confirm(card, call, process.aid, process.domain)
    return ResponseApdu(receipt, Sw.SUCCESS)


def _may_be_ours(beginning: bytes) -> bool | None:
    """Tell from the first blocks whether a load is worth going on with; None: not yet."""
    cursor = Cursor(beginning)
    try:
        while (tag := cursor.tag()) == DAP_BLOCK:
            cursor.take(cursor.length(strict=False))
        cursor.length(strict=False)
    except MalformedTlv:
        return None
    lacks = lacks_bundle(cursor.rest) if tag == DATA_BLOCK else None
    return None if lacks is None else not lacks


def _finish_load(card: CardParts, call: CardCall, process: Loading) -> None:
    signatures, block = split_load_file(bytes(process.data))
    target = card.content.domain(process.domain)
    if process.limit is not None and len(block) > process.limit:
        raise CardRefusal(
            Sw.NO_MEMORY, f"{len(block)} bytes of code, {process.limit} announced (C6)"
        )
    if process.hash:
        name = HASHES[len(process.hash)]
        if hashlib.new(name, block).digest() != process.hash:
            raise CardRefusal(
                Sw.WRONG_DATA, "the load file's hash is not the one announced (9.3.5)"
            )
    _check_dap(card, target, signatures, process.hash)
    try:
        file = LoadFile.decode(block)
    except PackageMalformed as error:
        raise CardRefusal(Sw.WRONG_DATA, str(error)) from error
    if file.aid != process.aid:
        raise CardRefusal(
            Sw.WRONG_DATA, f"the load file is {file.aid.hex().upper()}, another was announced"
        )
    if process.aid == card.upgrades.awaited(call.domain):
        card.upgrades.take(call.domain, file)
        return
    card.content.require_code_memory(target, len(file.bundle))
    card.content.load(file, domain=process.domain)


def split_load_file(data: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """Return DAP signatures by security domain, and the load file data block (11.6.2.3)."""
    cursor = Cursor(data)
    signatures: dict[bytes, bytes] = {}
    with refusing_malformed("load file"):
        while True:
            tag = cursor.tag()
            value = cursor.take(cursor.length(strict=False))
            if tag == DATA_BLOCK:
                break
            if tag != DAP_BLOCK:
                raise CardRefusal(Sw.WRONG_DATA, f"no {tag:X} in a load file: E2.. C4 (11.6.2.3)")
            fields = Tlv.decode_map(value)
            if fields.keys() != {0x4F, SIGNATURE}:
                raise CardRefusal(
                    Sw.WRONG_DATA, "a DAP block names a domain (4F) and a signature (C3)"
                )
            signatures[fields[0x4F]] = fields[SIGNATURE]
    if not cursor.at_end:
        raise CardRefusal(Sw.WRONG_DATA, "bytes follow the load file data block")
    return signatures, value


def _check_dap(
    card: CardParts, target: RegistryEntry, signatures: dict[bytes, bytes], digest: bytes
) -> None:
    """Check every signature that came, and that those came which must (GPCS 9.2.1)."""
    required = {
        entry.aid: "mandated"
        for entry in card.registry.entries()
        if entry.is_domain and entry.has(Privilege.MANDATED_DAP)
    }
    if target.has(Privilege.DAP_VERIFICATION):
        required.setdefault(target.aid, "the target's")
    for aid, kind in required.items():
        if aid not in signatures:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED, f"{kind} DAP of {aid.hex().upper()} is missing"
            )
    if signatures and not digest:
        raise CardRefusal(Sw.WRONG_DATA, "a DAP signs the hash, and INSTALL named none (9.3.5)")
    for aid, signature in signatures.items():
        domain = card.registry.find(aid)
        if domain is None or not domain.is_domain or not domain.has(Privilege.DAP_VERIFICATION):
            raise CardRefusal(Sw.REFERENCE_NOT_FOUND, f"{aid.hex().upper()} verifies no DAP")
        key = card.keys.find(aid, DAP_VERSION, DAP_IDENTIFIER)
        if key is None:
            raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the domain has no DAP key (73/01)")
        if not verify(key, digest, signature) and not verify_hash(key, digest, signature):
            raise CardRefusal(Sw.SECURITY_NOT_SATISFIED, f"the DAP of {aid.hex().upper()} is wrong")


# INSTALL


def _for_install(card: CardParts, call: CardCall, data: bytes, p1: int) -> ResponseApdu:
    fields = InstallFields.decode(data, 5)
    package, module, aid, privileges, parameters = fields.values
    authorise(card, call, fields.token, fields.signed)
    aid = aid or module
    wanted = decode_privileges(privileges)
    is_domain = bool(wanted & Privilege.SECURITY_DOMAIN)
    # Code is loaded below a domain; an application has none of its own to be bounded.
    sizes = SIZES if is_domain else SIZES - {CODE}
    asked = Parameters.decode(card, parameters, system=sizes | {IMPLICIT}, application=True)
    card.content.check_privileges(call.domain, wanted)
    moves = check_domain(card, asked.application) if is_domain else None
    domain = card.content.home(call.domain, package)
    card.content.require_personalised(domain)
    card.content.require_data_memory(domain, asked.volatile or 0, asked.data or 0)
    card.content.install(
        check_aid(aid, "instance"),
        package=package,
        module=module,
        domain=domain.aid,
        privileges=wanted,
        parameters=asked.application,
        selectable=bool(p1 & SELECTABLE),
        code_quota=asked.code,
        volatile_quota=asked.volatile,
        data_quota=asked.data,
        implicit=asked.implicit,
    )
    if moves is not None:
        card.content.allow_moves(aid, *moves)
    return ResponseApdu(confirm(card, call, package, aid), Sw.SUCCESS)


def _for_make_selectable(card: CardParts, call: CardCall, data: bytes) -> ResponseApdu:
    fields = InstallFields.decode(data, 5)
    aid, privileges = fields.values[2], fields.values[3]
    authorise(card, call, fields.token, fields.signed)
    entry = _own_application(card, call, aid)
    if entry.is_locked:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the application is locked")
    # It adds the one privilege of being the default to an application (GPCS 11.5.2.3.3).
    wanted = decode_privileges(privileges)
    if wanted & ~(entry.privileges | Privilege.CARD_RESET):
        raise CardRefusal(
            Sw.WRONG_DATA, "making selectable grants Card Reset and no other privilege (11.5.2.3.3)"
        )
    wanted &= Privilege.CARD_RESET
    if entry.life_cycle >= LifeCycle.SELECTABLE and not wanted:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the application is selectable already")
    life_cycle = max(entry.life_cycle, LifeCycle.SELECTABLE)
    asked = Parameters.decode(
        card, fields.values[4], system=frozenset({IMPLICIT}), application=True
    )
    card.content.change(
        replace(
            entry,
            life_cycle=life_cycle,
            privileges=entry.privileges | wanted,
            implicit=asked.implicit or entry.implicit,
        )
    )
    return ResponseApdu(confirm(card, call, entry.package, aid), Sw.SUCCESS)


def _for_extradition(card: CardParts, call: CardCall, data: bytes) -> ResponseApdu:
    fields = InstallFields.decode(data, 5)
    domain, _, aid = fields.values[:3]
    authorise(card, call, fields.token, fields.signed)
    Parameters.decode(card, fields.values[4])
    entry = card.registry.find(aid)
    if entry is None or entry.kind is Kind.ISSUER_DOMAIN:
        raise CardRefusal(Sw.REFERENCE_NOT_FOUND, f"nothing to extradite: {aid.hex().upper()}")
    if not within(card, call.domain, entry) or entry.aid == call.domain.aid:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the application belongs to another domain")
    target = card.content.domain(domain)
    if target.is_locked or (entry.is_domain and within(card, entry, target)):
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the target is locked or below what moves")
    _require_own_hierarchy(card, call, target)
    card.content.require_move(entry.domain, target)
    before = entry.domain
    card.content.change(replace(entry, domain=target.aid))
    return ResponseApdu(confirm(card, call, before, aid, target.aid), Sw.SUCCESS)


def _for_personalisation(card: CardParts, call: CardCall, data: bytes) -> ResponseApdu:
    fields = InstallFields.decode(data, 5)
    aid = fields.values[2]
    if any(fields.values[index] for index in (0, 1, 3, 4)):
        raise CardRefusal(Sw.WRONG_DATA, "only the application is named (table 11-46)")
    entry = card.content.application(aid)
    if aid != call.domain.aid and (entry.domain != call.domain.aid or entry.is_domain):
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the application belongs to another domain")
    if entry.is_locked:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the application is locked")
    call.channel.target = aid
    return ResponseApdu(NO_RECEIPT, Sw.SUCCESS)


def _for_registry_update(card: CardParts, call: CardCall, data: bytes) -> ResponseApdu:
    fields = InstallFields.decode(data, 5)
    domain, _, aid, privileges, parameters = fields.values
    authorise(card, call, fields.token, fields.signed)
    entry = _own_application(card, call, aid) if aid else call.domain
    wanted = entry.privileges
    if privileges:
        wanted = decode_privileges(privileges)
        if entry.is_domain:
            wanted |= Privilege.SECURITY_DOMAIN
        card.content.check_privileges(call.domain, wanted, entry)
    asked = Parameters.decode(card, parameters, system=frozenset({IMPLICIT}))
    changed = replace(entry, privileges=wanted, implicit=asked.implicit or entry.implicit)
    if domain and domain != entry.domain:
        target = card.content.domain(domain)
        if entry.is_domain and within(card, entry, target):
            raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the target is below what moves")
        _require_own_hierarchy(card, call, target)
        card.content.require_move(entry.domain, target)
        changed = replace(changed, domain=target.aid)
    card.content.change(changed)
    receipt = confirm(card, call, entry.domain, aid, domain, privileges, parameters)
    return ResponseApdu(receipt, Sw.SUCCESS)


def _require_own_hierarchy(card: CardParts, call: CardCall, target: RegistryEntry) -> None:
    """Return unless a domain that manages its own content puts something into another's.

    With a token, it is the issuer who has allowed it.
    """
    manages = call.domain.has(Privilege.AUTHORIZED_MANAGEMENT)
    is_issuer = call.domain.kind is Kind.ISSUER_DOMAIN
    if manages and not is_issuer and not within(card, call.domain, target):
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the target belongs to another hierarchy")


def _own_application(card: CardParts, call: CardCall, aid: bytes) -> RegistryEntry:
    entry = card.content.application(aid)
    if not within(card, call.domain, entry):
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the application belongs to another domain")
    return entry
