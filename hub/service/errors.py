# SPDX-License-Identifier: Apache-2.0
"""What keeps the service from running, or a command from asking it."""

from hub.errors import HubError


class ServiceError(HubError):
    """The service cannot run, or cannot be asked."""


class ConfigurationRefused(ServiceError):
    """hub.toml says something that the service cannot go by.

    Neither the message nor `reason` repeats a value of the file: it may be a secret in the wrong
    place.
    """

    def __init__(self, file: str, line: int, key: str, reason: str) -> None:
        where = f"{file}, line {line}" if line else file
        super().__init__(f"{where}: {key}: {reason}" if key else f"{where}: {reason}")
        self.line, self.key, self.reason = line, key, reason


class ServiceRunning(ServiceError):
    """The hub's service is running, and what was asked cannot be done beside it."""
