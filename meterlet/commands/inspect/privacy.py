# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect privacy`: what an operator says it has published of the resident's region."""

from pathlib import Path

import rich_click as click

from hub.text import utc_text
from meterlet.commands.budget_text import budget_facts, budget_line
from meterlet.commands.common import json_option, print_json
from meterlet.key_files import public_key
from utility_server.grid.privacy_notice import PrivacyNotice

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("notice", type=FILE)
@click.option("--operator", type=FILE, required=True, help="The operator's public key (PEM).")
@json_option
def privacy(notice: Path, operator: Path, as_json: bool) -> None:
    """Check and show an operator's NOTICE of what it published about a region."""
    said = PrivacyNotice.verify(notice.read_bytes(), public_key(operator))
    if as_json:
        facts = {
            "region": said.budget.region,
            "time": utc_text(said.time),
            "releases": said.releases,
            "budget": budget_facts(said.budget),
        }
        print_json("meterlet.inspect.privacy/1", facts)
        return
    click.echo(f"{said.budget.region}, {utc_text(said.time)}: {said.releases} answers published")
    click.echo(f"  {budget_line(said.budget)}")
