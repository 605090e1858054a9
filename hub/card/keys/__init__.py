# SPDX-License-Identifier: Apache-2.0
"""The keys of the card's security domains, and what is signed and vouched for with them."""
