# SPDX-License-Identifier: Apache-2.0
"""The operator's console: pages in the browser over the service's own interface."""
