# SPDX-License-Identifier: Apache-2.0
"""The file of inspection itself, beside the hub's: what is kept for speed, and who may look."""

from collections.abc import Sequence
from typing import Final

from hub.device import Device
from hub.inspection.api.tokens import TOKEN_COMPONENT
from hub.inspection.readers.readers import READER_COMPONENT
from hub.inspection.views.bucket_cache import SUMMARY_COMPONENT
from hub.vault.database import Component, Database

COMPONENTS: Final = (SUMMARY_COMPONENT, TOKEN_COMPONENT, READER_COMPONENT)


def open_inspection(device: Device, more: Sequence[Component] = ()) -> Database:
    """Open `inspection.db` in the hub's folder, made where there is none; close it when done.

    `more` are further components to keep in it.
    """
    return Database(device.folder / "inspection.db", [*COMPONENTS, *more])


def forget_summaries(device: Device) -> None:
    """Forget what is kept for speed: the vault has another key now, and it is made again."""
    if (device.folder / "inspection.db").exists():
        with open_inspection(device) as database, database.transaction() as connection:
            connection.execute("DELETE FROM summary")
