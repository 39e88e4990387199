"""`module:app` → the application, or one line that says why there is none."""

import difflib
import importlib
import inspect
import os
import sys
import textwrap
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import click

# What an exception says may be as long as a page; one line of it is shown.
MAX_SHOWN_ERROR = 300


# What a shell reports of a command that was stopped with Ctrl+C: 128 + SIGINT.
INTERRUPTED = 130


class TargetError(click.ClickException):
    """`module:app` leads to no application; the message is one line, the exit code 2."""

    exit_code = 2


def load(target: str, app_dir: str = ".", *, is_factory: bool = False) -> Any:
    """Return the application that *target* names.

    Args:
        target: `module:app`; both may be dotted.
        app_dir: Directory that is searched first; it is put before `sys.path` and stays.
        is_factory: Whether what is named is called, to give the application.

    Raises:
        TargetError: there is no such module or attribute, importing or calling it
            fails, or it cannot be called as an application.
        SystemExit: importing it was interrupted with Ctrl+C (130).
    """
    module_name, attribute = split(target)
    directory = Path(app_dir).resolve()
    sys.path.insert(0, str(directory))
    module = _import(module_name, directory)
    app = _find(module, attribute)
    _check_callable(app, target, module)
    if is_factory:
        app = _make(app, target, directory)
        _check_callable(app, f"{target}()", module)
    return app


def split(target: str) -> tuple[str, str]:
    """Return module and attribute of `module:attribute`.

    Raises:
        TargetError: it is not of that form; the message shows the form.
    """
    module, _, attribute = target.partition(":")
    is_path = module.endswith(".py") or "/" in module or "\\" in module
    if attribute and all(module.split(".")) and not is_path:
        return module, attribute
    dotted = module.replace("\\", "/").strip("./").removesuffix(".py").replace("/", ".")
    example = f"{dotted or 'chat'}:{attribute or 'app'}"
    raise TargetError(f"{target!r} names no application; write module:app, such as {example}")


def _import(name: str, directory: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        # The name of a module that this one imports would not be a beginning of its own.
        if exc.name and f"{name}.".startswith(f"{exc.name}."):
            raise TargetError(_not_found(exc.name, directory)) from None
        raise TargetError(_import_failed(name, exc, directory)) from exc
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (Exception, SystemExit) as exc:
        raise TargetError(_import_failed(name, exc, directory)) from exc


def _not_found(name: str, directory: Path) -> str:
    *parents, last = name.split(".")
    folder = directory.joinpath(*parents)
    text = f"no module {name!r} in {directory}, nor among the installed packages"
    files = {path.stem: path for path in folder.glob("*.py")}
    packages = {path.parent.name: path.parent for path in folder.glob("*/__init__.py")}
    known = files | packages
    near = [_shown(known[match]) for match in difflib.get_close_matches(last, known)]
    return f"{text}; there is {', '.join(near)}" if near else text


def _import_failed(name: str, exc: BaseException, directory: Path) -> str:
    where = "" if directory == Path.cwd() else f" in {directory}"
    return (
        f"importing {name!r} failed at {_place(exc, directory)}: {_told(exc)}; "
        f'for the whole traceback: python -c "import {name}"{where}'
    )


def _find(module: ModuleType, attribute: str) -> Any:
    value: Any = module
    try:
        for name in attribute.split("."):
            value = getattr(value, name)
    except AttributeError:
        raise TargetError(
            f"{_file_of(module)} has no {attribute!r}; {_applications_in(module)}"
        ) from None
    return value


def _make(factory: Any, target: str, directory: Path) -> Any:
    try:
        return factory()
    except (Exception, SystemExit) as exc:
        place = _place(exc, directory)
        raise TargetError(f"calling {target!r} failed at {place}: {_told(exc)}") from exc


def _check_callable(app: Any, target: str, module: ModuleType) -> None:
    if not callable(app):
        kind = type(app).__name__
        raise TargetError(
            f"{target!r} is no application but of type {kind!r}; {_applications_in(module)}"
        )


def _applications_in(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if _is_application(value)]
    return f"applications there: {', '.join(names) or 'none'}"


def _is_application(value: Any) -> bool:
    if inspect.isclass(value) or not callable(value):
        return False
    try:
        parameters = [*inspect.signature(value).parameters]
    except (TypeError, ValueError):  # some callables written in C
        return False
    return parameters == ["scope", "receive", "send"]


def _told(exc: BaseException) -> str:
    text = f"{type(exc).__name__}: {exc}".removesuffix(": ")
    return textwrap.shorten(text, MAX_SHOWN_ERROR, placeholder=" ...")


def _place(exc: BaseException, directory: Path) -> str:
    """Return `file:line` of the last step that was the user's, or else of the last."""
    if isinstance(exc, SyntaxError) and exc.filename and Path(exc.filename).is_file():
        return f"{_shown(Path(exc.filename))}:{exc.lineno}"
    frames = traceback.extract_tb(exc.__traceback__)
    own = [frame for frame in frames if _is_own(Path(frame.filename), directory)]
    frame = (own or frames)[-1]
    return f"{_shown(Path(frame.filename))}:{frame.lineno}"


def _is_own(path: Path, directory: Path) -> bool:
    return path.is_relative_to(directory) and "site-packages" not in path.parts


def _file_of(module: ModuleType) -> str:
    # A folder without __init__.py is a module without a file.
    file = getattr(module, "__file__", None)
    return _shown(Path(file)) if file else f"module {module.__name__!r}"


def _shown(path: Path) -> str:
    """Return a path as people write it: relative, where it is below the current directory."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
