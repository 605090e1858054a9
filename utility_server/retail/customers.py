# SPDX-License-Identifier: Apache-2.0
"""The enrolled meters: whose signatures to believe, and the keys of each applet's channel.

An enrolment is sealed with AES-256-GCM under the utility's storage key, bound to its meter; a
stolen database opens no channel.
"""

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, Select, delete, insert, select, update

from protocols.enrolment import Enrolment, EnrolmentError, following_version
from protocols.metrology import KeyAnnouncement
from protocols.secure_channel.keys import StaticKeys
from utility_server.database import enrolment_table as table
from utility_server.database import proposal_table, reading, writing
from utility_server.errors import EnrolmentRefused, StoreError, UnknownCustomer, VerificationFailed
from utility_server.retail.accounts import Span, note_account, within
from utility_server.retail.certifier_keys import known_announcements, learn_announcements

_NONCE_SIZE: Final = 12
_LABEL: Final = b"meterlet customer 1"


@dataclass(frozen=True, slots=True)
class Customers:
    """The meters the utility knows."""

    engine: Engine
    storage_key: bytes = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    def enrol(self, data: bytes, *, replace_keys: bool = False) -> Enrolment:
        """Add the customer of an enrolment file; the same file again changes nothing.

        Raises `EnrolmentRefused` if it is not one, or if the meter's applet is known with other
        keys, or the meter with another certifier: neither is ever replaced silently. With
        `replace_keys` the file's channel keys take the place of the applet's, and nothing else may
        differ.
        """
        try:
            enrolment = Enrolment.decode(data)
        except EnrolmentError as error:
            raise EnrolmentRefused(str(error)) from None
        plain, sealed = enrolment.encode(), self._sealed(enrolment)
        with writing(self.engine) as connection:
            rows = connection.execute(self._rows(enrolment.meter)).scalars().all()
            known = [self._open(enrolment.meter, row) for row in rows]
            enrolled = [Enrolment.decode(one) for one in known]
            if any(hmac.compare_digest(one.encode(), plain) for one in enrolled):
                return enrolment
            place = len(known)
            for number, one in enumerate(enrolled):
                if one.certifier != enrolment.certifier or (
                    one.applet == enrolment.applet and not replace_keys
                ):
                    raise EnrolmentRefused(
                        f"meter {enrolment.meter.hex()} is enrolled already, with other keys"
                    )
                if one.applet == enrolment.applet:
                    _require_same_channel(one, enrolment)
                    place = number
            if replace_keys and place == len(known):
                raise EnrolmentRefused(
                    f"meter {enrolment.meter.hex()} is not enrolled with this applet: there are no"
                    " keys to replace"
                )
            try:
                learn_announcements(connection, enrolment.meter, enrolment.announcements)
            except VerificationFailed as failed:
                raise EnrolmentRefused(failed.reason) from None
            self._put(connection, place, enrolment, sealed, is_new=place == len(known))
            self._forget_proposal(connection, enrolment)
        return enrolment

    def propose(self, meter: bytes, applet: bytes) -> tuple[Enrolment, Enrolment]:
        """Return an applet's enrolment, and the one with new channel keys that shall replace it.

        New keys are made, and sealed, before anybody is told of them. As long as they are not
        `settle`d, these same are returned: a hub may have them already.
        """
        current = self.find(meter, applet)
        with writing(self.engine) as connection:
            where = (proposal_table.c.meter == meter, proposal_table.c.applet == applet)
            sealed = connection.execute(
                select(proposal_table.c.sealed).where(*where)
            ).scalar_one_or_none()
            if sealed is not None:
                return current, Enrolment.decode(self._open(meter, sealed))
            size = len(current.keys.enc)
            keys = StaticKeys(*(self.randomness(size) for _ in range(3)))
            version = following_version(current.key_version)
            proposed = replace(current, key_version=version, keys=keys)
            connection.execute(
                insert(proposal_table).values(
                    meter=meter, applet=applet, sealed=self._sealed(proposed)
                )
            )
        return current, proposed

    def has_proposal(self, meter: bytes, applet: bytes) -> bool:
        """Tell whether new channel keys were proposed that are not settled yet."""
        where = (proposal_table.c.meter == meter, proposal_table.c.applet == applet)
        with reading(self.engine) as connection:
            query = select(proposal_table.c.meter).where(*where)
            return connection.execute(query).first() is not None

    def settle(self, proposed: Enrolment) -> None:
        """Let proposed channel keys take the place of the old ones: the hub has them."""
        with writing(self.engine) as connection:
            rows = connection.execute(self._rows(proposed.meter)).scalars().all()
            known = [Enrolment.decode(self._open(proposed.meter, row)) for row in rows]
            place = [one.applet for one in known].index(proposed.applet)
            self._put(connection, place, proposed, self._sealed(proposed), is_new=False)
            self._forget_proposal(connection, proposed)

    def _put(
        self, connection: Connection, place: int, enrolment: Enrolment, sealed: bytes, *,
        is_new: bool,
    ) -> None:  # fmt: skip
        meter = enrolment.meter
        if is_new:
            connection.execute(insert(table).values(meter=meter, place=place, sealed=sealed))
            note_account(connection, meter)
        else:
            where = (table.c.meter == meter, table.c.place == place)
            connection.execute(update(table).where(*where).values(sealed=sealed))

    def _forget_proposal(self, connection: Connection, enrolment: Enrolment) -> None:
        connection.execute(
            delete(proposal_table).where(
                proposal_table.c.meter == enrolment.meter,
                proposal_table.c.applet == enrolment.applet,
            )
        )

    def _sealed(self, enrolment: Enrolment) -> bytes:
        nonce = self.randomness(_NONCE_SIZE)
        label = _LABEL + enrolment.meter
        return nonce + AESGCM(self.storage_key).encrypt(nonce, enrolment.encode(), label)

    def find(self, meter: bytes, applet: bytes, *others: bytes) -> Enrolment:
        """Return the enrolment of a meter's applet; raise `UnknownCustomer` if there is none.

        `others` are applets that will do where a meter has not the first.
        """
        return self.find_all([meter], applet, *others)[meter]

    def find_all(
        self, meters: Iterable[bytes], applet: bytes, *others: bytes
    ) -> dict[bytes, Enrolment]:
        """Return the same of several meters."""
        return {
            meter: _wanted(meter, enrolments, applet, *others)
            for meter, enrolments in self.enrolled(meters).items()
        }

    def enrolled(self, meters: Iterable[bytes]) -> dict[bytes, list[Enrolment]]:
        """Return the enrolments of meters, those of each in the order of their places.

        A meter that is not enrolled has none.
        """
        found: dict[bytes, list[Enrolment]] = {meter: [] for meter in meters}
        query = (
            select(table.c.meter, table.c.sealed)
            .where(table.c.meter.in_(list(found)))
            .order_by(table.c.meter, table.c.place)
        )
        with reading(self.engine) as connection:
            for row in connection.execute(query).all():
                opened = self._open(bytes(row.meter), row.sealed)
                found[bytes(row.meter)].append(Enrolment.decode(opened))
        return found

    def zone(self, meter: bytes) -> str:
        """Return the zone of a meter's days; raise `UnknownCustomer` if it is not enrolled."""
        return self.zones([meter])[meter]

    def zones(self, meters: Iterable[bytes]) -> dict[bytes, str]:
        """Return the same of several meters."""
        return {meter: known[0].zone for meter, known in self._all_enrolled(meters).items()}

    def certifier(self, meter: bytes) -> bytes:
        """Return a meter's certifier's first key; raise `UnknownCustomer` if it is not enrolled."""
        return self.enrolments(meter)[0].certifier

    def announcements(self, meter: bytes) -> tuple[KeyAnnouncement, ...]:
        """Return what a meter's certifier has announced, as far as the utility has seen."""
        with reading(self.engine) as connection:
            return known_announcements(connection, meter)

    def meters(self) -> list[bytes]:
        """Return the enrolled meters, in order."""
        with reading(self.engine) as connection:
            return list(
                connection.execute(
                    select(table.c.meter).distinct().order_by(table.c.meter)
                ).scalars()
            )

    def page(self, after: bytes, limit: int) -> list[bytes]:
        """Return enrolled meters in order, from after one on."""
        query = select(table.c.meter).distinct().where(table.c.meter > after)
        with reading(self.engine) as connection:
            found = connection.execute(query.order_by(table.c.meter).limit(limit)).scalars()
            return [bytes(meter) for meter in found]

    def within(self, span: Span, limit: int) -> list[bytes]:
        """Return enrolled meters in a span of identifications, in order."""
        query = select(table.c.meter).distinct().where(within(table.c.meter, span))
        with reading(self.engine) as connection:
            found = connection.execute(query.order_by(table.c.meter).limit(limit)).scalars()
            return [bytes(meter) for meter in found]

    def enrolments(self, meter: bytes) -> list[Enrolment]:
        """Return a meter's applets as they were enrolled; raise `UnknownCustomer` for none."""
        return self._all_enrolled([meter])[meter]

    def _all_enrolled(self, meters: Iterable[bytes]) -> dict[bytes, list[Enrolment]]:
        """Return the same of several meters."""
        found = self.enrolled(meters)
        for meter, enrolments in found.items():
            if not enrolments:
                raise UnknownCustomer(f"meter {meter.hex()} is not enrolled")
        return found

    def _rows(self, meter: bytes) -> Select[bytes]:
        return select(table.c.sealed).where(table.c.meter == meter).order_by(table.c.place)

    def _open(self, meter: bytes, sealed: bytes) -> bytes:
        try:
            return AESGCM(self.storage_key).decrypt(
                sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], _LABEL + meter
            )
        except (InvalidTag, ValueError, TypeError):
            raise StoreError(
                f"meter {meter.hex()}: the enrolment was sealed with another key, or changed"
            ) from None


def _wanted(
    meter: bytes, enrolments: Sequence[Enrolment], applet: bytes, *others: bytes
) -> Enrolment:
    """Return which of a meter's enrolments will do; raise `UnknownCustomer` if none does."""
    by_applet = {one.applet: one for one in enrolments}
    for wanted in (applet, *others):
        if wanted in by_applet:
            return by_applet[wanted]
    if enrolments:
        raise UnknownCustomer(
            f"meter {meter.hex()} is not enrolled with applet {applet.hex().upper()}"
        )
    raise UnknownCustomer(f"meter {meter.hex()} is not enrolled")


def _require_same_channel(known: Enrolment, new: Enrolment) -> None:
    """Return if nothing but keys differs; else raise `EnrolmentRefused`."""
    same = replace(
        known, key_version=new.key_version, keys=new.keys, announcements=new.announcements
    )
    if not hmac.compare_digest(same.encode(), new.encode()):
        raise EnrolmentRefused(f"meter {new.meter.hex()}: the file says more than new channel keys")
