# SPDX-License-Identifier: Apache-2.0
"""The hub as a GlobalPlatform card: registry, security domains, loading, life cycle, dispatch.

ISO/IEC 7816-4 and GPCS 2.3.1 with SCP03 (Amendment D). All that lasts is in the hub's database; one
APDU is one transaction. Applets run elsewhere: whoever builds the device hands in an
`AppletRuntime`.
"""
