# SPDX-License-Identifier: Apache-2.0
"""The card's commands, one module each, named as GPCS 2.3.1 names them."""
