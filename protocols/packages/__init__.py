# SPDX-License-Identifier: Apache-2.0
"""The form that applets travel in, for vendors, recipients and cards; errors: PackageMalformed."""
