"""Limits of the server, given on the command line."""

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bocadillo.cli import main
from bocadillo.cli.limits import OPTIONS, LimitOption
from bocadillo.server import Limits
from tests.cli.conftest import Project, Served

DOCUMENTED = Path(__file__).parent.parent.parent / "docs" / "server.md"

of_each_option = pytest.mark.parametrize("option", OPTIONS, ids=[option.flag for option in OPTIONS])


def test_limits_reach_both_protocols(served: Served, project: Project) -> None:
    """An option that is accepted has its effect, in workers too, who get a copy."""
    values: dict[str, Any] = {option.field: 3 + n for n, option in enumerate(OPTIONS)}
    words = [word for option in OPTIONS for word in (option.flag, str(values[option.field]))]

    result = project.run("run", "chat:app", "--port", "0", "--compress", *words)

    assert result.exit_code == 0, result.output
    config = pickle.loads(pickle.dumps({"ws": served.config.ws, "http": served.config.http}))
    assert config["ws"].keywords == config["http"].keywords == {"limits": Limits(**values)}


def test_without_limits_the_protocols_are_as_they_are(served: Served, project: Project) -> None:
    """Nobody pays for what was not asked for."""
    project.run("run", "chat:app", "--port", "0")

    assert served.config.ws == "bocadillo.server:WebSocketProtocol"
    assert served.config.http == "bocadillo.server:HTTPProtocol"


@of_each_option
@pytest.mark.parametrize("value", ["0", "-1", "nan", "soon"])
def test_an_impossible_limit_is_refused_by_its_option(
    served: Served, project: Project, option: LimitOption, value: str
) -> None:
    """Who mistypes one of seven options is told which."""
    result = project.run("run", "chat:app", option.flag, value)

    assert result.exit_code == 2
    assert f"Invalid value for '{option.flag}': " in result.stderr
    assert not hasattr(served, "config")


@of_each_option
def test_limits_of_other_protocols_are_refused(
    served: Served, project: Project, option: LimitOption
) -> None:
    """uvicorn's own have no such limits, and nobody should believe so."""
    result = project.run("run", "chat:app", "--ws", "auto", option.flag, "5")

    told = " ".join(result.stderr.split())
    assert result.exit_code == 2
    assert f"{option.flag}: a limit of bocadillo's own protocol, which --ws auto has not" in told
    assert not hasattr(served, "config")


@of_each_option
def test_the_help_and_the_documentation_tell_the_default(option: LimitOption) -> None:
    """A default that was changed in one place is told wrongly in two others."""
    default = str(option.default)
    shown = " ".join(CliRunner().invoke(main, ["run", "--help"]).output.split())
    [row] = [line for line in DOCUMENTED.read_text().splitlines() if f"`{option.flag}`" in line]

    assert f"{option.help} [default: {default}; x>" in shown
    name, value, *_ = [cell.strip() for cell in row.strip("|").split("|")]
    number, _, unit = value.partition(" ")
    assert name == f"`{option.field}`"
    assert int(re.sub(r"\D", "", number)) * (1024 if unit == "KiB" else 1) == int(default)
