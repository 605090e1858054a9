# SPDX-License-Identifier: Apache-2.0
"""The hub dials out: it asks recipients' servers what there is to do, and answers from the card.

recipient    where a recipient's server is, and the certificate that the hub shows there
sessions     scripts of commands, carried out by the card
steps        a session, step by step; no sockets, no clock
framing      POSTs and replies as bytes of HTTP
https        one POST and its reply over TLS 1.3
pace         when a hub dials again
dialler      the loop: when to dial, what to do after a failure; what `meterlet hub dial` runs
events       what a caller is told of it
"""
