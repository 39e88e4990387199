"""Type arguments reach what is received and sent: mypy says so, and finds mistakes."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

ERROR = re.compile(r":(\d+): error: .*\[([a-z-]+)\]$", re.MULTILINE)
EXPECTED = re.compile(r"# error: ([a-z-]+)$")


@pytest.fixture(autouse=True)
def _has_mypy() -> None:
    """Skip without mypy, and say so; fail where it must be there."""
    if find_spec("mypy") is None:
        missing = "mypy is missing: pip install 'bocadillo[check]'"
        if "CI" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)


def check(path: Path) -> str:
    """Return what `mypy --strict` says of one file."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def test_type_arguments_are_known_to_mypy() -> None:
    """Of messages, `send` and `broadcast`, and of `receive`, by `assert_type`."""
    assert check(HERE / "class_views.py") == ""


def test_each_mistake_is_found_and_nothing_else(tmp_path: Path) -> None:
    """Types that accept anything would pass the test above, too."""
    source = HERE / "class_views_mistakes.txt"
    mistakes = shutil.copyfile(source, tmp_path / "mistakes.py")
    lines = source.read_text().splitlines()
    expected = {
        (number, found[1])
        for number, line in enumerate(lines, start=1)
        if (found := EXPECTED.search(line))
    }

    output = check(mistakes)

    assert {(int(line), code) for line, code in ERROR.findall(output)} == expected, output
