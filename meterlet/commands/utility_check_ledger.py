# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility check-ledger`: the whole ledger verified again, on several processors."""

import os
from pathlib import Path

import rich_click as click

from meterlet.commands.chain_end import noted_option
from meterlet.commands.common import FILE, Shown, json_or_text, one_line_errors, utility_option
from meterlet.commands.fan_out_options import fan_out, fan_out_options
from utility_server.chain_head import ChainHead
from utility_server.retail.parted_audit import AuditProgress
from utility_server.retail.parted_audit import audit as audit_ledger
from utility_server.retail.utility import Utility


@click.command("check-ledger")
@utility_option
@fan_out_options("evidence is verified", lambda: os.cpu_count() or 1, "one for each processor")
@click.option(
    "--progress", type=FILE,
    help="A file that keeps how far it has come: goes on from there, and is deleted at the end.",
)  # fmt: skip
@noted_option
@json_or_text("meterlet.utility.check-ledger/1")
def check_ledger(
    folder: Path, processes: int, is_on_ray: bool, progress: Path | None, noted: ChainHead | None
) -> Shown:
    """Check the ledger's chain, and verify every entry again from its evidence, in parts.

    As `utility ledger` does, without listing the entries. Exit code 3 at the first wrong one.
    With --progress, an audit that was cut off verifies no evidence twice. With --noted, a ledger
    whose end was cut off, or that was written anew, is found, too.
    """
    how = fan_out(processes, is_on_ray=is_on_ray)
    with one_line_errors(), Utility.open(folder.absolute()) as utility:
        begun = AuditProgress() if progress is None else AuditProgress.read(progress)

        def keep(reached: AuditProgress) -> None:
            if progress is not None:
                reached.write(progress)

        ended = audit_ledger(utility, how, begun, keep)
        if noted is not None:
            utility.ledger.require_noted(noted)
        if progress is not None:
            progress.unlink(missing_ok=True)
    facts = {
        "entries": ended.checked,
        "verified_before": begun.checked,
        "digest": ended.digest.hex(),
        "head": str(ChainHead(ended.checked, ended.digest)),
        "verified": True,
    }
    before = f", {begun.checked} of them before" if begun.checked else ""
    return facts, f"{ended.checked} entries verify{before}; the chain holds"
