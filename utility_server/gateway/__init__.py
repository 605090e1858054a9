# SPDX-License-Identifier: Apache-2.0
"""The door for hubs: they dial, and the answers to their POSTs carry what the utility asks.

certificates  the utility's own authority for hubs' certificates and its server's
application   the ASGI application: who dials, limits, dialogues
errands       what there is to do for a meter: bills, cards
serving       uvicorn with TLS 1.3 and certificates on both sides
"""
