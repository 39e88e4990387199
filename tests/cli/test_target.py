"""Whatever is wrong with `module:app`, one line says what was looked for, and where."""

import os
from pathlib import Path

import pytest

from bocadillo import App
from bocadillo.cli.target import MAX_SHOWN_ERROR, TargetError, load, split
from tests.cli.conftest import ECHO, Project


def refusal(target: str, app_dir: str = ".", *, is_factory: bool = False) -> str:
    """Return what `load` says in refusing."""
    with pytest.raises(TargetError) as caught:
        load(target, app_dir, is_factory=is_factory)
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2
    return caught.value.message


def test_an_application_is_found_in_the_current_directory(project: Project) -> None:
    """`bocadillo run chat:app` works where chat.py is, without an installation."""
    project.write("chat.py", ECHO)

    app = load("chat:app")

    assert isinstance(app, App)


def test_an_application_is_found_in_a_dotted_module_and_attribute(project: Project) -> None:
    """Applications live in packages, and in other objects."""
    project.write("shop/web.py", "class state:\n    async def app(scope, receive, send): ...\n")

    app = load("shop.web:state.app")

    assert app.__qualname__ == "state.app"


def test_another_directory_can_be_searched(project: Project) -> None:
    """A project that keeps its modules in src/ needs no PYTHONPATH."""
    project.write("src/chat.py", ECHO)

    app = load("chat:app", "src")

    assert isinstance(app, App)


def test_a_factory_is_called(project: Project) -> None:
    """An application that is made by a function can be served."""
    project.write("chat.py", ECHO + "\ndef make():\n    return app\n")

    app = load("chat:make", is_factory=True)

    assert isinstance(app, App)


@pytest.mark.parametrize(
    ("target", "example"),
    [
        ("", "chat:app"),
        (":", "chat:app"),
        ("shop", "shop:app"),
        ("shop:", "shop:app"),
        (":site", "chat:site"),
        ("shop.:app", "shop:app"),
        (".shop:app", "shop:app"),
        ("shop.py", "shop:app"),
        ("shop.py:site", "shop:site"),
        ("./src/shop.py:app", "src.shop:app"),
        ("src\\shop.py:app", "src.shop:app"),
    ],
)
def test_another_form_is_refused_with_the_form_shown(target: str, example: str) -> None:
    """Whoever types a file name learns what to type instead."""
    with pytest.raises(TargetError) as caught:
        split(target)

    assert caught.value.message == (
        f"{target!r} names no application; write module:app, such as {example}"
    )


def test_a_missing_module_is_named_with_the_directory_and_what_is_near(project: Project) -> None:
    """A slip of the finger, or the wrong directory, is seen at once."""
    project.write("chat.py", ECHO)
    project.write("chats/__init__.py", "")
    project.write("zebra.py", "")

    message = refusal("chatt:app")

    assert message == (
        f"no module 'chatt' in {project.directory}, nor among the installed packages; "
        "there is chat.py, chats"
    )


def test_a_missing_module_with_nothing_near_it_is_only_named(project: Project) -> None:
    """Nobody is sent to a file that has nothing to do with it."""
    project.write("zebra.py", "")

    message = refusal("chat:app", "..")

    where = project.directory.parent
    assert message == f"no module 'chat' in {where}, nor among the installed packages"


def test_a_missing_module_of_a_package_is_searched_in_the_package(project: Project) -> None:
    """The files near by are those of the package, not of the directory."""
    project.write("shop/__init__.py", "")
    project.write("shop/web.py", ECHO)

    message = refusal("shop.wep:app")

    assert message.startswith("no module 'shop.wep' in ")
    assert message.endswith(f"; there is {Path('shop', 'web.py')}")


def test_a_missing_dependency_is_named_with_the_line_that_needs_it(project: Project) -> None:
    """A package that is not installed is not taken for a wrong `module:app`."""
    project.write("chat.py", "import os\nimport no_such_package\n")

    message = refusal("chat:app")

    assert message == (
        "importing 'chat' failed at chat.py:2: ModuleNotFoundError: No module named "
        "'no_such_package'; for the whole traceback: python -c \"import chat\""
    )


def test_an_exception_is_named_with_the_users_own_last_line(project: Project) -> None:
    """The line to mend is one of the user's, not one deep in a library."""
    project.write("chat.py", "import rooms\n")
    project.write(
        "rooms.py",
        """\
        from bocadillo import App
        app = App()
        @app.websocket_route("/")
        def view(ws): ...
        """,
    )

    message = refusal("chat:app")

    assert message.startswith("importing 'chat' failed at rooms.py:3: ExpectedAsync: view view()")


def test_a_dependency_below_the_project_is_not_the_users_own(project: Project) -> None:
    """A virtual environment in the project's directory does not hide the user's line."""
    library = ".venv/site-packages"
    project.write(f"{library}/library.py", "def fail():\n    raise OSError('no disk')\n")
    project.write(
        "chat.py", f"import sys\nsys.path.append({library!r})\nimport library\nlibrary.fail()\n"
    )

    message = refusal("chat:app")

    assert message.startswith("importing 'chat' failed at chat.py:4: OSError: no disk;")


def test_a_syntax_error_is_named_with_its_own_line(project: Project) -> None:
    """A file that cannot be read at all is told with the line that cannot."""
    project.write("chat.py", "a = 1\nb = = 2\n")

    message = refusal("chat:app")

    assert message.startswith("importing 'chat' failed at chat.py:2: SyntaxError: ")


def test_a_syntax_error_in_no_file_is_named_with_the_line_that_met_it(project: Project) -> None:
    """Text that a module evaluates has no file to look into; the module has."""
    project.write("chat.py", "pass\neval('1 +')\n")

    message = refusal("chat:app")

    assert message.startswith("importing 'chat' failed at chat.py:2: SyntaxError: ")


def test_an_exception_that_is_nowhere_the_users_is_named_with_the_last_line(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed application that cannot be imported is told with its whole path."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    file = elsewhere / "installed_chat.py"
    file.write_text("raise ValueError\n")
    monkeypatch.syspath_prepend(elsewhere)

    message = refusal("installed_chat:app")

    assert message.startswith(f"importing 'installed_chat' failed at {file}:1: ValueError; ")


def test_a_module_that_exits_is_refused(project: Project) -> None:
    """A script that reads arguments and exits does not end the command without a word."""
    project.write("chat.py", "raise SystemExit('usage: chat')\n")

    message = refusal("chat:app")

    assert message.startswith("importing 'chat' failed at chat.py:1: SystemExit: usage: chat; ")


def test_ctrl_c_while_importing_ends_quietly(project: Project) -> None:
    """A module that takes its time can be given up without a traceback."""
    project.write("chat.py", "raise KeyboardInterrupt\n")

    result = project.run("routes", "chat:app")

    assert result.exit_code == 130
    assert result.output == ""


def test_a_long_exception_is_cut_to_one_line(project: Project) -> None:
    """Twenty lines of validation errors do not hide where they came from."""
    project.write("chat.py", "raise ValueError('many\\nlines\\n' * 1000)\n")

    message = refusal("chat:app")

    assert "ValueError: many lines many lines" in message
    assert len(message) < MAX_SHOWN_ERROR + 200


def test_the_way_to_the_traceback_names_another_directory(project: Project) -> None:
    """The command to copy works only where the module is."""
    project.write("src/chat.py", "1 / 0\n")

    message = refusal("chat:app", "src")

    assert message.endswith(f'python -c "import chat" in {project.directory / "src"}')
    assert f"failed at {Path('src', 'chat.py')}:1: ZeroDivisionError" in message


def test_a_missing_attribute_is_named_with_the_applications_that_are_there(
    project: Project,
) -> None:
    """`application` instead of `app` is the commonest slip."""
    project.write(
        "chat.py",
        ECHO
        + """
import operator
from starlette.applications import Starlette

site = Starlette()
class Custom:
    def __call__(self, scope, receive, send): ...
custom = Custom()
def make(): ...
getter = operator.itemgetter(1)
number = 3
class Strange:
    __signature__ = "none"
    def __call__(self): ...
strange = Strange()
""",
    )

    message = refusal("chat:application")

    assert message == ("chat.py has no 'application'; applications there: app, site, custom")


def test_a_missing_attribute_of_an_empty_module_is_said_to_be_alone(project: Project) -> None:
    """A file without any application is told as such."""
    project.write("chat.py", "")

    assert refusal("chat:app") == "chat.py has no 'app'; applications there: none"


def test_a_folder_without_a_file_is_named_as_a_module(project: Project) -> None:
    """Python imports any folder; that it has no `app` must not end in a traceback."""
    project.write("chat/readme.txt", "")

    assert refusal("chat:app") == "module 'chat' has no 'app'; applications there: none"


def test_what_cannot_be_called_is_no_application(project: Project) -> None:
    """The name of something else is refused before a server is started for it."""
    project.write("chat.py", ECHO + "\nconfig = {}\n")

    message = refusal("chat:config")

    assert message == (
        "'chat:config' is no application but of type 'dict'; applications there: app"
    )


def test_a_factory_that_fails_is_named_with_the_line(project: Project) -> None:
    """A factory's bug is told like a module's."""
    project.write("chat.py", "def make():\n    return open('no such file')\n")

    message = refusal("chat:make", is_factory=True)

    assert message.startswith("calling 'chat:make' failed at chat.py:2: FileNotFoundError: ")


def test_a_factory_that_gives_no_application_is_refused(project: Project) -> None:
    """A forgotten `return` is found before a server is started."""
    project.write("chat.py", "def make(): ...\n")

    message = refusal("chat:make", is_factory=True)

    assert message == (
        "'chat:make()' is no application but of type 'NoneType'; applications there: none"
    )


@pytest.mark.parametrize("command", ["run", "routes"])
def test_a_refusal_is_the_only_line_on_stderr(project: Project, command: str) -> None:
    """Both commands refuse in the same words, with exit code 2 and no traceback."""
    result = project.run(command, "chatt:app")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"Error: no module 'chatt' in {os.getcwd()}, nor among the installed packages\n"
    )
