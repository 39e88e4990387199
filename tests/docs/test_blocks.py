"""Every code block of the README and the documentation does what its page says.

A block in `python` is a module of its own. One marked `python continues` goes on from
the block before it on the page, with all that one goes on from. Functions in a block
whose names begin with `test_` are called, and an `app` is started on a real server.
"""

import importlib.util
import itertools
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner

from bocadillo.cli import main
from bocadillo.testing import LiveServer

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCE = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page; `line` is where its code begins, from 1."""

    page: Path
    line: int
    info: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    source = page.read_text()
    return [
        Block(page, source[: match.start("code")].count("\n") + 1, match["info"], match["code"])
        for match in FENCE.finditer(source)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
CONTINUES = "python continues"


def chains() -> list[list[Block]]:
    """Return each Python block, as the last of those that it goes on from."""
    found: list[list[Block]] = []
    for _, on_page in itertools.groupby(BLOCKS, key=lambda block: block.page):
        chain: list[Block] = []
        for block in on_page:
            if block.info == CONTINUES:
                chain = [*chain, block]
                found.append(chain)
            elif block.info == "python":
                chain = [block]
                found.append(chain)
    return found


def commands() -> list[tuple[Block, list[str]]]:
    """Return each command of the shell blocks, as words."""
    found: list[tuple[Block, list[str]]] = []
    for block in BLOCKS:
        for line in block.code.splitlines():
            if block.info == "bash" or (block.info == "console" and line.startswith("$ ")):
                for command in line.removeprefix("$ ").split("&&"):
                    if words := shlex.split(command, comments=True):
                        found.append((block, words))
    return found


# Python


@contextmanager
def module_of(block: Block) -> Iterator[ModuleType]:
    """Give a module that can be found by its name, as `typing` and pydantic want it."""
    module = ModuleType(f"documented_{block.page.stem.replace('-', '_')}_{block.line}")
    sys.modules[module.__name__] = module
    try:
        yield module
    finally:
        del sys.modules[module.__name__]


def execute(block: Block, module: ModuleType) -> None:
    # With the lines above it left empty, a traceback shows the page and the right line.
    source = "\n" * (block.line - 1) + block.code
    exec(compile(source, str(block.page), "exec"), vars(module))


def is_own_test(name: str, value: Any, block: Block) -> bool:
    is_test = isinstance(value, FunctionType) and name.startswith("test_")
    return is_test and value.__code__.co_firstlineno >= block.line


@pytest.mark.parametrize("chain", chains(), ids=lambda chain: str(chain[-1]))
def test_python_blocks_do_what_they_say(chain: list[Block]) -> None:
    """An example that does not run is worse than none."""
    block = chain[-1]
    with module_of(block) as module:
        for earlier in chain[:-1]:
            execute(earlier, module)
        app = vars(module).get("app")
        execute(block, module)

        for name, value in [*vars(module).items()]:
            if is_own_test(name, value, block):
                value()
        if vars(module).get("app") is not app:
            with LiveServer(module.app) as server:
                assert server.port


def test_every_python_block_is_found() -> None:
    """A fence that is indented or misspelt would go untested."""
    fences = [
        line
        for page in PAGES
        for line in page.read_text().splitlines()
        if re.match(r"\s*(```+|~~~+)\s*py", line)
    ]

    assert {*fences} <= {"```python", f"```{CONTINUES}"}
    assert len(fences) == len(chains())


def test_no_line_of_code_has_to_be_scrolled() -> None:
    """The column of text is about this wide."""
    wide = [
        f"{block}: {line}"
        for block in BLOCKS
        if block.info.startswith("python")
        for line in block.code.splitlines()
        if len(line) > 76
    ]

    assert wide == []


# Shell


def need_sphinx() -> None:
    """Skip a test that needs Sphinx where it is missing; fail it in CI."""
    if importlib.util.find_spec("sphinx") is None:
        told = "Sphinx is not installed: pip install -e '.[docs]'"
        if "CI" in os.environ:
            pytest.fail(told)
        pytest.skip(told)


def exists(program: str) -> bool:
    """Tell whether *program* is there, in this interpreter's environment or on the path."""
    if program.startswith(".venv/bin/"):
        program = program.removeprefix(".venv/bin/")
    elif "/" in program:
        return (ROOT / program).is_file()
    scripts = Path(sys.executable).parent
    return bool(shutil.which(program, path=str(scripts)) or shutil.which(program))


def check_module(words: list[str]) -> None:
    """Check that `python -m module` names a module."""
    if "-m" in words and Path(words[0]).name.startswith("python"):
        module = words[words.index("-m") + 1]
        assert importlib.util.find_spec(module), f"no module {module!r}"


def check_options(words: list[str]) -> None:
    """Check that `bocadillo …` names a command and options that it has."""
    if Path(words[0]).name != "bocadillo" or len(words) == 1 or words[1].startswith("-"):
        return
    command = main.commands[words[1]]
    known = {*itertools.chain(*(p.opts + p.secondary_opts for p in command.params)), "--help"}
    given = {word.partition("=")[0] for word in words[2:] if word.startswith("-")}

    assert given <= known
    assert isinstance(command, click.Command)


@pytest.mark.parametrize(("block", "words"), commands(), ids=str)
def test_shell_blocks_name_what_is_there(block: Block, words: list[str]) -> None:
    """A reader who types what the page says gets no "command not found"."""
    if words[0].endswith("sphinx-build"):
        need_sphinx()
    assert exists(words[0]), f"{block}: no program {words[0]!r}"
    check_module(words)
    check_options(words)


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.code.startswith("$ bocadillo routes ")], ids=str
)
def test_a_shown_list_of_routes_is_what_the_command_prints(
    block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line by line, but for the blanks at its ends."""
    command, *shown = block.code.splitlines()
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", [*sys.path])

    result = CliRunner().invoke(main, shlex.split(command)[2:])

    printed = [line.strip() for line in result.output.splitlines() if line.strip()]
    assert [line.strip() for line in shown if line.strip()] == printed


def test_the_first_two_blocks_of_the_readme_are_its_commands() -> None:
    """CI takes them from there: one starts the chat, the other the tests."""
    chat, tests = blocks_of(ROOT / "README.md")[:2]

    assert chat.info == tests.info == "bash"
    assert chat.code.rstrip().endswith("bocadillo run examples.chat.app:app")
    assert tests.code.rstrip().endswith("pytest")


def test_echo_of_the_readme_is_the_example() -> None:
    """The README says that it is all of that file, but for its first line."""
    echo = next(block for block in BLOCKS if block.info == "python")

    _, code = (ROOT / "examples" / "echo.py").read_text().split("\n\n", 1)
    assert echo.page.name == "README.md"
    assert echo.code == code
