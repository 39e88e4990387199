"""Prices for a thousand readers, each as fast as it can read.

Run it: `bocadillo run examples.ticker:app`, and watch it:

    python -m websockets "ws://127.0.0.1:8000/prices"

A reader that keeps up gets every price. One that does not, such as a phone in a train,
gets the newest price of each symbol instead of a growing pile of old ones.

Here the prices are made by the server's own process, so that it must be one. With several,
a program of its own would publish them, by `Channels("redis://…")`.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator

from pydantic import BaseModel

from bocadillo import App, Channels, HistoryLimits, WebSocket

INTERVAL_S = 0.5
CHANNEL = "prices"
SYMBOLS = ("BRD", "CHS", "HAM", "OIL", "SLT", "TOM")


class Price(BaseModel):
    """What one share costs, in cents."""

    symbol: str
    cents: int


class Market:
    """The prices of all symbols, which wander."""

    def __init__(self) -> None:
        self.prices = {symbol: Price(symbol=symbol, cents=10_000) for symbol in SYMBOLS}

    async def tick(self, channels: Channels) -> None:
        """Publish a new price of each symbol."""
        for price in self.prices.values():
            price.cents = max(1, price.cents + random.randint(-100, 100))
            await channels.publish(CHANNEL, price)


async def run_market(channels: Channels) -> None:
    market = Market()
    while True:
        await market.tick(channels)
        await asyncio.sleep(INTERVAL_S)


@contextlib.asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[None]:
    running = asyncio.create_task(run_market(app.channels))
    try:
        yield
    finally:
        running.cancel()


# As many as there are symbols: one price of each.
app = App(lifespan=lifespan, history=HistoryLimits(max_count=len(SYMBOLS)))


def symbol_of(payload: str | bytes) -> str:
    """Return what a price is of; called once for each, however many read it."""
    symbol: str = json.loads(payload)["symbol"]
    return symbol


@app.websocket_route("/prices")
async def prices(ws: WebSocket) -> None:
    await ws.join(CHANNEL, history=len(SYMBOLS), when_full="latest", key=symbol_of)
    async for _ in ws:
        pass  # there is nothing to say here
