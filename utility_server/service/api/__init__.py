# SPDX-License-Identifier: Apache-2.0
"""The programming interface for people and systems: REST under /v1, described by OpenAPI 3.1."""
