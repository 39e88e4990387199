"""The ticker: readers that keep up, readers that do not, many of them, and a real server."""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest
from starlette.types import Message, Receive, Scope, Send
from websockets.sync.client import connect as connect_for_real

from bocadillo.testing import LiveServer, connect
from examples import ticker
from examples.ticker import SYMBOLS, Market, app

READERS = 1000
TIMEOUT_S = 10


def symbols(payloads: list[str | bytes]) -> list[str]:
    return [ticker.symbol_of(payload) for payload in payloads]


def test_who_comes_gets_the_present_price_of_each_symbol() -> None:
    """Nobody looks at an empty table until something happens to be traded."""

    async def scenario() -> None:
        market = Market()
        for _ in range(3):
            await market.tick(app.channels)

        async with connect(app, "/prices") as reader:
            prices = [await reader.receive_json() for _ in SYMBOLS]

        assert prices == [price.model_dump() for price in market.prices.values()]

    asyncio.run(scenario())


def test_reader_that_keeps_up_gets_every_price() -> None:
    """Conflation is for those who need it."""

    async def scenario() -> None:
        market = Market()
        async with connect(app, "/prices") as reader:
            for _ in range(10):
                await market.tick(app.channels)
                prices = [await reader.receive() for _ in SYMBOLS]

                assert symbols(prices) == [*SYMBOLS]

    asyncio.run(scenario())


def test_reader_that_does_not_keep_up_gets_the_newest_of_each() -> None:
    """It is neither closed nor shown a past that nobody trades by any more."""

    async def scenario() -> None:
        takes = asyncio.Event()
        takes.set()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_slowly(event: Message) -> None:
                await takes.wait()
                await send(event)

            await app(scope, receive, send_slowly)

        market = Market()
        async with connect(slow, "/prices") as reader:
            await market.tick(app.channels)
            for _ in SYMBOLS:
                await reader.receive()
            takes.clear()
            for _ in range(1000):
                await market.tick(app.channels)
            now = [price.model_dump() for price in market.prices.values()]
            takes.set()

            # Before them comes the one that was on its way when the reader stopped.
            [_, *newest] = [await reader.receive_json() for _ in range(1 + len(SYMBOLS))]
            await market.tick(app.channels)
            after = await reader.receive()

        assert sorted(newest, key=lambda price: price["symbol"]) == now
        assert ticker.symbol_of(after) == SYMBOLS[0]

    asyncio.run(scenario())


def test_a_thousand_readers_get_the_same() -> None:
    """And the publisher has waited for none of them."""

    async def scenario() -> None:
        market = Market()
        async with AsyncExitStack() as stack:
            readers = [
                await stack.enter_async_context(connect(app, "/prices")) for _ in range(READERS)
            ]
            while app.channels.readers(ticker.CHANNEL) < READERS:
                await asyncio.sleep(0)

            await market.tick(app.channels)

            for reader in readers:
                prices = [await reader.receive() for _ in SYMBOLS]
                assert symbols(prices) == [*SYMBOLS]

    asyncio.run(scenario())


def test_prices_come_by_themselves_on_a_real_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the docstring says can be tried, and the market closes with the server."""
    monkeypatch.setattr(ticker, "INTERVAL_S", 0.01)

    with LiveServer(app) as server, connect_for_real(server.ws_url("/prices")) as reader:
        prices = [json.loads(reader.recv(timeout=TIMEOUT_S)) for _ in range(5 * len(SYMBOLS))]

    assert {price["symbol"] for price in prices} == {*SYMBOLS}
    assert all(price["cents"] > 0 for price in prices)
