# SPDX-License-Identifier: Apache-2.0
"""sml_codec."""
