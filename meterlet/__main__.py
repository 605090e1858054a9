# SPDX-License-Identifier: Apache-2.0
"""`python -m meterlet` is the command `meterlet`."""

from meterlet.commands.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main(prog_name="meterlet")
