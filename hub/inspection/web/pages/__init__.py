# SPDX-License-Identifier: Apache-2.0
"""The resident's pages, one module each."""
