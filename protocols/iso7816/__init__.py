# SPDX-License-Identifier: Apache-2.0
"""Commands, responses and TLV of ISO/IEC 7816-4, and APDUs on a byte stream; sans-IO."""
