"""The documentation is a site without dead ends, and its tables are those of the code."""

import dataclasses
import inspect
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import pytest
import uvicorn
from starlette.requests import HTTPConnection

import bocadillo
import bocadillo.server
import bocadillo.testing
from bocadillo import channels, close
from bocadillo.channels import redis
from bocadillo.cli import main
from bocadillo.leaving import Times
from bocadillo.server.deflate import DeflateOptions
from bocadillo.server.limits import Limits
from bocadillo.testing import contracts
from tests.docs.test_blocks import PAGES, ROOT, need_sphinx
from tests.servers.running import COMMANDS
from tests.servers.test_leaving import FALSIFIED, LEAVINGS
from tests.servers.test_server_http import REFUSED
from tests.servers.test_server_http_limits import TOO_LARGE

DOCS = ROOT / "docs"


def rows_below(page: str, first_heading: str) -> list[list[str]]:
    """Return the rows of the table of a page whose header begins with a cell."""
    lines = (DOCS / page).read_text().splitlines()
    start = lines.index(next(line for line in lines if line.startswith(f"| {first_heading} |")))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" |")])
    return rows


# The site


class Anchors(HTMLParser):
    """The links of one built page, and what in it can be linked to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = {""}
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        if tag == "a" and (link := given.get("href")):
            self.links.add(link)


def build(target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    return subprocess.run(
        [*command, "-d", str(target / "doctrees"), str(DOCS), str(target / "html")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )


def dead_links(site: Path) -> list[str]:
    pages = {page: Anchors(page) for page in site.resolve().rglob("*.html")}
    dead = []
    for page, anchors in pages.items():
        for link in anchors.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            there = pages.get(target)
            is_dead = parts.fragment not in there.ids if there else not target.is_file()
            if is_dead:
                dead.append(f"{page.name} -> {link}")
    return dead


def test_the_site_builds_without_a_warning_and_all_its_links_lead_somewhere(
    tmp_path: Path,
) -> None:
    """One test, as one build takes long enough."""
    need_sphinx()

    built = build(tmp_path)

    assert (built.returncode, built.stderr) == (0, "")
    assert dead_links(tmp_path / "html") == []
    assert (tmp_path / "html" / "index.html").is_file()


def test_every_page_is_in_the_table_of_contents_of_the_readme() -> None:
    """Whoever reads the pages on the web site of the repository finds them all."""
    readme = (ROOT / "README.md").read_text()
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)", readme))

    assert linked == {page.name for page in DOCS.glob("*.md")} - {"index.md", "changelog.md"}


def test_links_between_files_of_the_repository_lead_somewhere() -> None:
    """They are read there, too, without Sphinx."""
    dead = [
        f"{page.name} -> {link}"
        for page in PAGES
        for link in re.findall(r"\]\(([\w./-]+?)(?:#[\w-]+)?\)", page.read_text())
        if not (page.parent / link).exists()
    ]

    assert dead == []


def test_no_page_knows_where_it_was_written() -> None:
    """Paths of one machine mean nothing on another."""
    assert [
        page.name for page in PAGES if re.search(r"/work\b|/tmp\b|/home\b", page.read_text())
    ] == []


# The reference


# Of the last some names are for bocadillo itself.
PUBLIC = (bocadillo, bocadillo.testing, contracts, bocadillo.server, channels, redis)


@pytest.mark.parametrize("module", PUBLIC[:4], ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_reference(module: Any) -> None:
    """And nothing is in it that is not public."""
    public = {name for known in PUBLIC for name in known.__all__} | {DeflateOptions.__name__}
    reference = (DOCS / "reference.md").read_text()
    documented = re.findall(r"^\.\. (?:auto\w+|py:class):: (\w+)", reference, re.MULTILINE)

    assert {*module.__all__} <= {*documented}
    assert {*documented} <= public


def test_every_method_of_the_connection_is_on_its_page() -> None:
    """The page says that it tells of all of them."""
    page = (DOCS / "connection.md").read_text()
    own = {*dir(bocadillo.WebSocket)} - {*dir(HTTPConnection)}
    public = {name for name in own if not name.startswith("_")}

    assert "receive_event" in public
    assert {name for name in public if not re.search(rf"[`.]{name}\b", page)} == set()


# Tables of the lifecycle


def test_the_times_have_the_defaults_that_the_page_states() -> None:
    """Of all options these are the ones that people reckon with."""
    stated = {row[0].strip("`"): float(row[1]) for row in rows_below("lifecycle.md", "option")}

    assert stated == dataclasses.asdict(Times())


def test_the_close_codes_are_those_of_the_code() -> None:
    """Each with its meaning and whether it may be sent."""
    stated = {row[0]: (row[1], row[2]) for row in rows_below("lifecycle.md", "code")}

    codes = {str(code): code for code in close.MEANINGS} | {"3000-3999": 3999, "4000-4999": 4000}
    true = {
        name: (close.meaning(code), "yes" if close.is_sendable(code) else "no")
        for name, code in codes.items()
    }
    assert stated == true


def told(name: str, how: str) -> str:
    code, reason = FALSIFIED.get((name, how), LEAVINGS[how])
    return f'{code}, "{reason}"' if reason else str(code)


def test_what_servers_tell_of_a_leaving_is_what_the_tests_of_servers_saw() -> None:
    """A server that learns to tell more changes the page, too."""
    stated = {row[0]: row[1:] for row in rows_below("lifecycle.md", "the client")}
    words = {
        "closes with 1000": "close",
        'closes with 4000, "tired"': "close with a code",
        "closes without a code": "close without a code",
        "is lost without a close frame": "abort",
    }
    uvicorns = [name for name in COMMANDS if name.startswith("uvicorn")]

    assert stated == {
        words_of_it: [told(name, how) for name in ("bocadillo", "uvicorn", "hypercorn", "granian")]
        for words_of_it, how in words.items()
    }
    for how in LEAVINGS:
        assert len({told(name, how) for name in uvicorns}) == 1


# Tables of the server protocol


def number_in(cell: str) -> float:
    """Return what a cell says: "2", or "8 KiB"."""
    number, _, unit = cell.partition(" ")
    return float(number) * {"": 1, "KiB": 1024}[unit]


def test_the_limits_have_the_defaults_that_the_page_states() -> None:
    """Operators reckon with them."""
    stated = {row[0].strip("`"): number_in(row[1]) for row in rows_below("server.md", "limit")}

    limits = {field.name: getattr(Limits(), field.name) for field in dataclasses.fields(Limits)}
    del limits["deflate"]  # has a table of its own
    assert stated == limits


def test_what_is_agreed_on_for_compression_is_what_the_page_states() -> None:
    """Each of it costs memory or time."""
    stated = {row[0].strip("`"): row[1] for row in rows_below("server.md", "wish")}

    assert stated == {
        name: str(value) for name, value in dataclasses.asdict(DeflateOptions()).items()
    }


def test_the_options_that_count_are_uvicorns_with_its_defaults() -> None:
    """A uvicorn that changes them changes the page, too."""
    stated = {row[0].strip("`"): row[1] for row in rows_below("server.md", "option of `uvicorn`")}

    parameters = inspect.signature(uvicorn.Config).parameters
    names = {option: option.removeprefix("--").replace("-", "_") for option in stated}
    assert stated == {option: str(parameters[name].default) for option, name in names.items()}


def test_the_statuses_of_refusals_are_those_that_tests_of_servers_saw() -> None:
    """Whoever writes a client looks them up."""
    stated = {int(row[0]) for row in rows_below("server.md", "status")}

    seen = {
        status for _, statuses in [*REFUSED.values(), *TOO_LARGE.values()] for status in statuses
    }
    late_or_many = {408, 503}
    assert stated == seen | late_or_many


# Other tables


def test_every_option_of_run_is_in_the_table_with_its_default() -> None:
    """`--help` says less of each."""
    stated = {row[0].strip("`"): row[1].strip("`") for row in rows_below("commands.md", "option")}

    options = [p for p in main.commands["run"].params if isinstance(p, click.Option)]
    assert stated == {
        option.opts[0]: str(option.default) if option.show_default else "" for option in options
    }


def test_the_floors_are_those_that_are_checked() -> None:
    """The table for people and the one for import-linter are one."""
    stated: dict[int, set[str]] = {}
    for floor, room, _ in rows_below("architecture.md", "floor"):
        stated.setdefault(int(floor), set()).add(room.strip("`"))

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    checked = [
        {room.strip().removeprefix("bocadillo.") for room in layer.split("|")} for layer in layers
    ]
    assert stated == dict(enumerate(reversed(checked)))
