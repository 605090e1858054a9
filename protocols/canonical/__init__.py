# SPDX-License-Identifier: Apache-2.0
"""One encoding for each value: deterministic CBOR, and hash chains over it."""
