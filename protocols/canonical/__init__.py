# SPDX-License-Identifier: Apache-2.0
"""One encoding for each value, and what is signed and chained in it.

cbor         deterministic CBOR (RFC 8949, section 4.2.1), encoded and strictly decoded
reader       typed access to decoded maps
cose         signed documents, taken apart (RFC 9052)
signing      ... signed and verified; the one module here that needs cryptography
hash_chain   logs whose entries seal each other

foreign_text is beside them: TOML, JSON and XML that others wrote, which no encoding here is made of
"""
