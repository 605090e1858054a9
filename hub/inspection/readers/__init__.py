# SPDX-License-Identifier: Apache-2.0
"""Readers: programs of others that read, with a login, what the resident allows them."""
