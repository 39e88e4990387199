"""`ChannelsByLoop`: the channels of an application, in each event loop its own."""

import asyncio

from bocadillo.channels.broker import Broker
from bocadillo.channels.brokers import broker_for
from bocadillo.channels.hub import Channels
from bocadillo.channels.memory import MemoryBroker
from bocadillo.channels.publications import HistoryLimits
from bocadillo.errors import ConfigurationError


class ChannelsByLoop:
    """Makes channels where they are first needed, and closes them.

    Args:
        broker: As `Channels` takes it; a `Broker` serves one event loop.
        history: How much of each channel is kept.

    Raises:
        ConfigurationError: the URL cannot be used, or an extra is not installed.
    """

    def __init__(self, broker: str | Broker = "memory://", history: HistoryLimits | None = None):
        if isinstance(broker, str):
            broker_for(broker, timeout_s=5)  # which knows whether it can be used
        elif not isinstance(broker, Broker):
            raise ConfigurationError(f"broker takes a URL or a Broker, got {broker!r}")
        self.broker = broker
        self._history = history
        self._by_loop: dict[asyncio.AbstractEventLoop, Channels] = {}

    @property
    def is_local(self) -> bool:
        """Whether what is published stays in this process."""
        return isinstance(self.broker, MemoryBroker) or self.broker == "memory://"

    def here(self) -> Channels:
        """Return the channels of the running event loop."""
        loop = asyncio.get_running_loop()
        channels = self._by_loop.get(loop)
        if channels is None:
            self._forget_closed_loops()
            channels = self._by_loop[loop] = Channels(self.broker, history=self._history)
        return channels

    def _forget_closed_loops(self) -> None:
        """Let go of channels that nobody has closed: they know their loop, and keep it."""
        for loop in [loop for loop in self._by_loop if loop.is_closed()]:
            del self._by_loop[loop]

    async def start(self) -> None:
        """Connect to the broker, so that it shows at once if it is not there.

        Raises:
            BrokerError: it is not.
        """
        await self.here().start()

    async def close(self) -> None:
        """Close the channels of the running event loop; later ones begin anew."""
        channels = self._by_loop.pop(asyncio.get_running_loop(), None)
        if channels is not None:
            await channels.close()
