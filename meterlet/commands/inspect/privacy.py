# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect privacy`: what an operator says it has published of the resident's region."""

from pathlib import Path

import rich_click as click

from hub.text import utc_text
from meterlet.commands.budget_text import budget_facts, budget_line
from meterlet.commands.common import PRESENT_FILE, Shown, json_or_text
from meterlet.key_files import public_key
from utility_server.grid.privacy_notice import PrivacyNotice


@click.command()
@click.argument("notice", type=PRESENT_FILE, help="The notice that the recipient has handed out.")
@click.option(
    "--operator", type=PRESENT_FILE, required=True, help="The operator's public key (PEM)."
)
@json_or_text("meterlet.inspect.privacy/1")
def privacy(notice: Path, operator: Path) -> Shown:
    """Check and show an operator's NOTICE of what it published about a region."""
    said = PrivacyNotice.verify(notice.read_bytes(), public_key(operator))
    facts = {
        "region": said.budget.region,
        "time": utc_text(said.time),
        "releases": said.releases,
        "budget": budget_facts(said.budget),
    }
    line = f"{facts['region']}, {facts['time']}: {said.releases} answers published"
    return facts, f"{line}\n  {budget_line(said.budget)}"
