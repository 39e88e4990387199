"""What `import bocadillo` gives, and what it costs."""

import subprocess
import sys
from importlib.metadata import version

import dishka
import pytest

import bocadillo


def run_python(program: str) -> str:
    """Return what a program prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_importing_bocadillo_imports_no_other_library() -> None:
    """A command or a script pays for Starlette and pydantic when it uses them."""
    heavy = ("starlette", "pydantic", "pydantic_core", "orjson", "uvicorn", "asyncio")
    program = f"import bocadillo, sys; print([m for m in {heavy} if m in sys.modules])"

    assert run_python(program) == "[]"


def test_plain_text_views_need_no_pydantic() -> None:
    """What validates nothing starts without the library that validates."""
    program = (
        "import bocadillo, sys\n"
        "app = bocadillo.App()\n"
        "@app.websocket_route('/{room}', value_type='json')\n"
        "async def view(ws, room: str, after=None): ...\n"
        "print('pydantic' in sys.modules)"
    )

    assert run_python(program) == "False"


def test_the_versions_agree() -> None:
    """Bug reports quote one version, whichever way it was asked for."""
    assert bocadillo.__version__ == version("bocadillo")


@pytest.mark.parametrize("name", [name for name in bocadillo.__all__ if name != "Inject"])
def test_every_public_name_is_there(name: str) -> None:
    """Lazy names resolve, are listed, and come from the room that defines them."""
    value = getattr(bocadillo, name)

    assert value.__name__ == name
    assert value.__module__.startswith("bocadillo.")
    assert name in dir(bocadillo)


def test_inject_is_dishkas_own_mark() -> None:
    """So a function may be injected by bocadillo and by dishka's other integrations."""
    assert bocadillo.Inject is dishka.FromDishka
    assert "Inject" in dir(bocadillo)


def test_dishka_is_not_imported_before_it_is_needed() -> None:
    """It takes as long to import as all the rest, and many applications have no providers."""
    program = "import sys, bocadillo; bocadillo.App(); print('dishka' in sys.modules)"

    assert run_python(program) == "False"


def test_every_public_name_can_be_imported_alone() -> None:
    """Each import works as the first of a program, whatever the order of the rooms."""
    lines = [
        "import sys",
        "for name in __import__('bocadillo').__all__:",
        "    for room in [m for m in sys.modules if m.split('.')[0] == 'bocadillo']:",
        "        del sys.modules[room]",
        "    exec(f'from bocadillo import {name}')",
        "print('done')",
    ]

    assert run_python("\n".join(lines)) == "done"


def test_a_star_import_gives_the_public_names() -> None:
    """Interactive sessions use it, and it must not fail on a name that is not there."""
    program = "from bocadillo import *; print(App, Router, WebSocket, Json)"

    assert "bocadillo.applications.App" in run_python(program)


def test_a_name_is_looked_up_once() -> None:
    """After its first use a name is a plain attribute, so it costs nothing more."""
    first = bocadillo.InvalidMessage

    assert vars(bocadillo)["InvalidMessage"] is first
    assert bocadillo.InvalidMessage is first


def test_dir_lists_names_that_nobody_has_used_yet() -> None:
    """Completion in a shell shows what there is before anything is imported."""
    program = "import bocadillo; print({*bocadillo.__all__} <= {*dir(bocadillo)})"

    assert run_python(program) == "True"


def test_dir_is_sorted_and_without_repetition() -> None:
    """`dir` promises as much of every module."""
    names = dir(bocadillo)

    assert names == sorted({*names})


def test_an_unknown_name_is_an_attribute_error() -> None:
    """`hasattr`, `from bocadillo import …` and typos work as with any module."""
    with pytest.raises(AttributeError, match="module 'bocadillo' has no attribute 'Websocket'"):
        _ = bocadillo.Websocket

    assert not hasattr(bocadillo, "nope")


def test_an_unknown_name_cannot_be_imported() -> None:
    """The message of the import names the package and the name."""
    with pytest.raises(ImportError, match="cannot import name 'Websocket' from 'bocadillo'"):
        exec("from bocadillo import Websocket")


def test_the_connection_has_the_path_that_people_import() -> None:
    """`from bocadillo.websockets import WebSocket` is the documented path."""
    program = (
        "from bocadillo.websockets import WebSocket; import bocadillo;"
        "print(WebSocket is bocadillo.WebSocket, WebSocket.__module__)"
    )

    assert run_python(program) == "True bocadillo.websockets"
