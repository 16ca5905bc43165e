"""Numbers that options take."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from alluse_core.cli.numbers import FiniteRange


@click.command()
@click.option("--after", type=FiniteRange(min=1.0))
def command(after: float | None) -> None:
    click.echo(repr(after))


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0.5", "soon"])
def test_what_is_no_finite_number_in_the_range_is_refused(text: str) -> None:
    result = CliRunner().invoke(command, ["--after", text])
    assert result.exit_code == 2
    assert "--after" in result.output


@pytest.mark.parametrize(("arguments", "taken"), [(["--after", "2.5"], "2.5"), ([], "None")])
def test_a_number_in_the_range_is_taken(arguments: list[str], taken: str) -> None:
    assert CliRunner().invoke(command, arguments).output.strip() == taken
