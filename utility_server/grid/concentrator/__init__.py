# SPDX-License-Identifier: Apache-2.0
"""The concentrator: between hubs and MDMS, blind; it forwards, checks forms and multiplies."""
