# SPDX-License-Identifier: Apache-2.0
"""Verify all bill bundles in a folder, a line for each: a script to start from.

    python verify_bills.py FOLDER --supplier public.pem

Exit code 0: every bill is right. 3: one is wrong. 4: none is wrong, and of one it cannot be told.
"""

import argparse
import sys
from datetime import timedelta
from pathlib import Path

import meterlet

RIGHT, WRONG, UNKNOWN = 0, 3, 4


def verdict(bundle: Path, supplier: Path | None) -> tuple[int, str]:
    """Return the exit code for a bundle, and what to print about it."""
    try:
        bill = meterlet.verify_bill(bundle, supplier=supplier)
    except meterlet.VerificationFailed as error:
        by = "" if error.difference is None else f" by {error.difference}"
        return WRONG, f"wrong{by}: {error}"
    except (meterlet.MeterletError, OSError) as error:
        return UNKNOWN, f"cannot tell: {error}"
    first, last = bill.begin.date(), (bill.end - timedelta(days=1)).date()
    gaps = f", {bill.missing_slots} slots missing" if bill.missing_slots else ""
    return RIGHT, f"right: {bill.total} {bill.currency}, {first} to {last}, {bill.tariff}{gaps}"


def main() -> int:
    """Verify what the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the bundles are (*.bundle)")
    parser.add_argument("--supplier", type=Path, help="the public key (PEM) that must have signed")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder}: there is no such folder")
    codes = []
    for bundle in sorted(arguments.folder.glob("*.bundle")):
        code, text = verdict(bundle, arguments.supplier)
        print(f"{bundle.name}: {text}")
        codes.append(code)
    if not codes:
        print(f"{arguments.folder}: no bundle (*.bundle) in it", file=sys.stderr)
        return UNKNOWN
    return WRONG if WRONG in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
