"""The command itself: its version, its help, and its two names."""

import runpy
import sys

import pytest

import bocadillo
from tests.cli.conftest import Project


def test_the_version_is_that_of_the_package(project: Project) -> None:
    """A bug report needs it."""
    result = project.run("--version")

    assert result.exit_code == 0
    assert result.output == f"bocadillo {bocadillo.__version__}\n"


@pytest.mark.parametrize("arguments", [("--help",), ("run", "-h"), ("routes", "--help")])
def test_every_command_tells_what_it_does(project: Project, arguments: tuple[str, ...]) -> None:
    """Nobody needs the documentation to begin with."""
    result = project.run(*arguments)

    assert result.exit_code == 0
    assert "MODULE:APP" in result.output


def test_python_m_bocadillo_is_the_same_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It works where no script was installed, and says the same words."""
    monkeypatch.setattr(sys, "argv", ["bocadillo", "--help"])

    with pytest.raises(SystemExit) as caught:
        runpy.run_module("bocadillo", run_name="__main__")

    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("Usage: bocadillo [OPTIONS] COMMAND")


def test_a_worker_process_that_imports_the_command_does_not_run_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`multiprocessing` imports the main module once more in each process."""
    monkeypatch.setattr(sys, "argv", ["bocadillo", "--help"])

    runpy.run_module("bocadillo", run_name="__mp_main__")

    assert capsys.readouterr().out == ""
