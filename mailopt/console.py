"""What the commands print: tables for people, one JSON object for machines."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def table_of(*columns: str) -> Table:
    """Make an empty table."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column)
    return table


def print_json(fields: dict[str, Any]) -> None:
    """Print one JSON object."""
    print(json.dumps(fields, indent=2, allow_nan=False))
