# SPDX-License-Identifier: Apache-2.0
"""Where readings come from: SML telegrams of a real meter, or of an emulated one."""
