# SPDX-License-Identifier: Apache-2.0
"""What the hub keeps: readings, sealed, and certified days, in one SQLite file."""

from hub.vault.database import (
    Component,
    Database,
    DatabaseBusy,
    DatabaseError,
    NotAHubDatabase,
    SchemaTooNew,
)
from hub.vault.days import DAYS_COMPONENT, DayAlreadyJournalled, DayJournal, JournalledDay
from hub.vault.secret_file import SecretFileError, read_secret, write_secret
from hub.vault.vault import (
    VAULT_COMPONENT,
    Channel,
    ReadingRefused,
    Vault,
    VaultError,
    VaultTampered,
)

__all__ = [
    "DAYS_COMPONENT",
    "VAULT_COMPONENT",
    "Channel",
    "Component",
    "Database",
    "DatabaseBusy",
    "DatabaseError",
    "DayAlreadyJournalled",
    "DayJournal",
    "JournalledDay",
    "NotAHubDatabase",
    "ReadingRefused",
    "SchemaTooNew",
    "SecretFileError",
    "Vault",
    "VaultError",
    "VaultTampered",
    "read_secret",
    "write_secret",
]
