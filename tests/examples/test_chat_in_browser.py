"""The chat example in a real browser: headless Chromium, driven by selenium.

Where Chromium is missing these tests are skipped, but in CI they fail.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from starlette.types import Message, Receive, Scope, Send
from websockets.sync.client import connect

from bocadillo.testing import LiveServer
from examples.chat.app import app

T = TypeVar("T")

CHROMIUM = Path("/usr/bin/chromium")
CHROMEDRIVER = Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",  # the tests may run as root, in a container
    "--disable-dev-shm-usage",  # which in a container is small
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT_S = 30


class Window:
    """One window of the browser, with the chat in it."""

    def __init__(self, driver: Chrome, handle: str) -> None:
        self._driver = driver
        self._handle = handle

    @property
    def driver(self) -> Chrome:
        """The driver, switched to this window."""
        self._driver.switch_to.window(self._handle)
        return self._driver

    def part(self, name: str) -> WebElement:
        return self.driver.find_element(By.ID, name)

    def run(self, script: str, *args: Any) -> Any:
        return self.driver.execute_script(script, *args)

    def texts(self, selector: str) -> list[str]:
        """Return the text of all elements, as it is seen, at one moment."""
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)"
        texts: list[str] = self.run(script, selector)
        return texts

    def said(self) -> list[str]:
        return self.texts("#log .said")

    def notes(self) -> list[str]:
        return self.texts("#log .note")

    def people(self) -> list[str]:
        return self.texts("#here li")

    def status(self) -> str:
        return self.part("status").text

    def state(self) -> str:
        return self.part("status").get_attribute("data-state") or ""

    def is_connected(self) -> bool:
        return self.state() == "open"

    def focus(self) -> str:
        """Return the id of what has the focus."""
        name: str = self.run("return document.activeElement.id")
        return name

    def open(self, server: LiveServer, **link: str) -> None:
        self.driver.get(f"{server.url('/')}#{urlencode(link)}")

    def enter(self, server: LiveServer, room: str, name: str) -> None:
        """Come in through the door, as a person does."""
        self.open(server)
        for field, value in (("name", name), ("room", room)):
            self.part(field).clear()
            self.part(field).send_keys(value)
        self.part("room").send_keys(Keys.ENTER)
        self.wait_until(self.status, f"You are {name}")

    def say(self, text: str) -> None:
        self.part("text").send_keys(text, Keys.ENTER)

    def wait_until(self, what: Callable[[], T], expected: T) -> None:
        """Wait until *what* returns what is expected; a failure tells what it does return."""
        try:
            WebDriverWait(self._driver, TIMEOUT_S, poll_frequency=0.05).until(
                lambda _: what() == expected
            )
        except TimeoutException:
            pytest.fail(f"after {TIMEOUT_S} s: {what()!r}, not {expected!r}")


def check_browser() -> None:
    """Skip the test, or in CI fail it, where there is no browser."""
    missing = [str(path) for path in (CHROMIUM, CHROMEDRIVER) if not path.exists()]
    if missing:
        lack = f"no browser to test the chat in: {', '.join(missing)} missing; "
        remedy = "run `apt-get install chromium chromium-driver`"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lack + remedy)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    check_browser()
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(str(CHROMEDRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def new_window(browser: Chrome) -> Iterator[Window]:
    """Open a window with a session storage of its own, and close it in the end."""
    [first, *_] = browser.window_handles
    browser.switch_to.new_window("window")
    window = Window(browser, browser.current_window_handle)
    yield window
    window.driver.close()
    browser.switch_to.window(first)  # the driver must always be in some window


@pytest.fixture
def window(browser: Chrome) -> Iterator[Window]:
    with new_window(browser) as window:
        yield window


@pytest.fixture
def other_window(browser: Chrome) -> Iterator[Window]:
    with new_window(browser) as window:
        yield window


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer(app) as server:
        yield server


def test_two_windows_chat_and_see_each_other_come_and_go(
    server: LiveServer, window: Window, other_window: Window
) -> None:
    """What the example is for works, in what people use it with."""
    window.enter(server, "tea", "Ada")
    other_window.enter(server, "tea", "Bob")
    window.wait_until(window.people, ["Ada (you)", "Bob"])
    window.wait_until(window.notes, ["You came in", "Bob came in"])
    assert other_window.people() == ["Ada", "Bob (you)"]

    window.say("Hello, <b>Bob</b> & <img src=x onerror=alert(1)>")
    other_window.wait_until(other_window.said, ["Hello, <b>Bob</b> & <img src=x onerror=alert(1)>"])
    other_window.say("two")
    window.wait_until(lambda: window.said()[1:], ["two"])
    assert window.focus() == "text"

    other_window.part("leave").click()
    window.wait_until(window.people, ["Ada (you)"])
    window.wait_until(lambda: window.notes()[-1], "Bob left")
    assert other_window.part("door").is_displayed()
    assert other_window.focus() == "name"


def test_page_loads_nothing_from_elsewhere_and_reports_no_error(
    server: LiveServer, window: Window
) -> None:
    """The example works without the internet, and its console is clean."""
    window.driver.get_log("browser")  # type: ignore[no-untyped-call]  # of other tests: forgotten
    window.enter(server, "quiet", "Ada")

    loaded = window.run("return performance.getEntriesByType('resource').map((e) => e.name)")
    log = window.driver.get_log("browser")  # type: ignore[no-untyped-call]

    assert [url for url in loaded if not url.startswith(server.url("/"))] == []
    assert log == []


def test_link_leads_into_the_room(server: LiveServer, window: Window, other_window: Window) -> None:
    """A link can be shared: its reader is asked for a name, and by a name in it comes right in."""
    window.open(server, room="linked room", name="Ada")
    window.wait_until(window.status, "You are Ada")

    link = window.run("return location.href")
    other_window.driver.get(link)
    other_window.part("name").send_keys("Bob", Keys.ENTER)

    window.wait_until(window.people, ["Ada (you)", "Bob"])
    assert other_window.part("title").text == "linked room"


def test_windows_reconnect_by_themselves_after_a_restart(
    window: Window, other_window: Window
) -> None:
    """A deployment costs nobody a click, the text begun, or the place in it."""
    with LiveServer(app) as server:
        window.enter(server, "restart", "Ada")
        other_window.enter(server, "restart", "Bob")
        window.say("before")
        other_window.wait_until(other_window.said, ["before"])
        window.part("text").send_keys("be")

    for each in (window, other_window):
        each.wait_until(each.is_connected, False)
        assert not each.part("send").is_enabled()

    with LiveServer(app, port=server.port):
        window.wait_until(window.status, "You are Ada")
        other_window.wait_until(other_window.status, "You are Bob")
        window.wait_until(lambda: sorted(window.people()), ["Ada (you)", "Bob"])

        assert window.focus() == "text"
        window.say("hind")

        other_window.wait_until(other_window.said, ["before", "behind"])


def test_text_that_is_too_long_is_given_back_and_the_connection_stays(
    server: LiveServer, window: Window
) -> None:
    """Whoever pasted too much can shorten it, and nothing else has happened."""
    window.enter(server, "novel", "Ada")
    window.run("document.getElementById('text').value = 'x'.repeat(2001)")

    window.say("y")
    problem = window.part("problem")
    window.wait_until(lambda: problem.text, "Not sent: String should have at most 2000 characters")

    assert window.part("text").get_property("value") == "x" * 2001 + "y"
    window.part("text").clear()
    window.say("short")
    window.wait_until(window.said, ["short"])
    assert problem.text == ""
    assert window.notes() == ["You came in"]


def test_refused_handshake_ends_the_trying(server: LiveServer, window: Window) -> None:
    """A name that the server does not take (HTTP 400) is not tried for ever."""
    window.open(server, room="tea", name="x" * 33)

    window.wait_until(window.state, "refused")

    assert window.status() == "The server refused. Try another name or room"
    assert window.part("retry").is_displayed()


def test_close_by_policy_ends_the_trying_until_the_user_tries_again(window: Window) -> None:
    """Code 1008 means no; the page says so, with the reason, and leaves it to the user."""
    handshakes: list[str] = []

    async def members_only(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await app(scope, receive, send)
            return
        handshakes.append(scope["path"])
        events: list[Message] = [
            {"type": "websocket.accept"},
            {"type": "websocket.close", "code": 1008, "reason": "members only"},
        ]
        await receive()
        for event in events:
            await send(event)

    with LiveServer(members_only) as server:
        window.open(server, room="club", name="Ada")
        window.wait_until(window.state, "refused")

        assert window.status() == "The server refused: members only. Try another name or room"
        assert handshakes == ["/chat/club"]

        window.part("retry").click()
        window.wait_until(lambda: len(handshakes), 2)
        window.wait_until(window.state, "refused")


def test_page_that_was_left_leaves_the_room_and_comes_back_with_the_back_button(
    server: LiveServer, window: Window, other_window: Window
) -> None:
    """A page that the browser keeps for its back button is no ghost in the room."""
    window.enter(server, "ghosts", "Ada")
    other_window.enter(server, "ghosts", "Bob")

    window.driver.get("about:blank")
    other_window.wait_until(other_window.people, ["Bob (you)"])
    window.driver.back()

    window.wait_until(window.status, "You are Ada")
    other_window.wait_until(other_window.people, ["Bob (you)", "Ada"])


def test_what_was_said_meanwhile_is_shown_once_by_a_page_that_comes_back(
    server: LiveServer, window: Window
) -> None:
    """A train through a tunnel costs nothing of the conversation, and doubles nothing."""
    window.enter(server, "tunnel", "Ada")
    window.say("before")
    window.wait_until(window.said, ["before"])

    window.driver.get("about:blank")
    with connect(server.ws_url("/chat/tunnel?name=Bob")) as bob:
        bob.send(json.dumps({"text": "meanwhile"}))
        while json.loads(bob.recv(timeout=TIMEOUT_S)).get("text") != "meanwhile":
            pass
        window.driver.back()

        window.wait_until(window.people, ["Bob", "Ada (you)"])
        assert window.said() == ["before", "meanwhile"]
        assert window.notes()[-1] == "You came in"


def test_new_message_does_not_scroll_away_what_is_being_read(
    server: LiveServer, window: Window
) -> None:
    """The log follows the conversation, except for somebody who has scrolled back."""
    window.enter(server, "scroll", "Ada")
    with connect(server.ws_url("/chat/scroll?name=Bob"), max_queue=None) as bob:
        for number in range(40):
            bob.send(json.dumps({"text": f"line {number}"}))
        window.wait_until(lambda: len(window.said()), 40)
        at_end = "const l = log; return l.scrollHeight - l.scrollTop - l.clientHeight < 2"
        assert window.run(at_end)

        window.driver.execute_async_script(
            "log.scrollTop = 100; requestAnimationFrame(() => setTimeout(arguments[0]))"
        )
        bob.send(json.dumps({"text": "news"}))
        window.wait_until(lambda: len(window.said()), 41)
        assert window.run("return log.scrollTop") == 100

        window.part("latest").click()
        assert window.run(at_end)
        assert not window.part("latest").is_displayed()


@pytest.mark.parametrize("width", [320, 1100])
def test_nothing_sticks_out_of_a_narrow_or_wide_window(
    server: LiveServer, window: Window, width: int
) -> None:
    """On a phone nobody has to scroll sideways, however long the words are."""
    metrics = {"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": width < 500}
    window.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    window.enter(server, f"{'W' * 28}{width:04d}", f"{'M' * 27}{width:05d}")

    window.say("W" * 200)
    window.wait_until(window.said, ["W" * 200])

    assert window.run("return document.documentElement.scrollWidth") <= width
    assert window.run("return log.scrollWidth <= log.clientWidth")
    assert window.run("return say.getBoundingClientRect().bottom") <= 700


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_missing_browser_is_loud(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    """These tests cannot get lost unnoticed."""
    monkeypatch.setitem(globals(), "CHROMIUM", Path("/nowhere/chromium"))
    monkeypatch.setenv("CI", ci)

    with pytest.raises(outcome, match="/nowhere/chromium missing"):
        check_browser()
