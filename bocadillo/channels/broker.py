"""The contract of a broker: what carries publications between processes.

Its guarantees, which `bocadillo.testing.contracts.BrokerContract` checks:

- **One step.** `publish` gives the publication the next offset of its channel, appends it
  to the history and hands it to all listeners; nobody sees one of these without the rest.
- **Order.** Every listener gets the publications of one channel by rising offset, and
  history has them in that order. There is none between channels.
- **At most once.** A listener gets no publication twice. It may miss some when the
  connection breaks; who listens sees that by the offsets, and asks the history for them.
- **Epochs.** Offsets of one epoch have no holes. A broker that has forgotten offsets, or
  may have, begins a new epoch.
- **Bounds.** History keeps no more than the limits of the last `publish`. Reading creates
  nothing, not even for channels that nobody has ever heard of.
- **Time.** Each call ends within `timeout_s`, if need be by a `BrokerError`. So does
  `close`, without one, be the connection there or not.

Calls may overlap, except that calls of `subscribe` and `unsubscribe` for one channel come
one after the other.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from bocadillo.channels.publications import HistoryLimits, Past, Position, Publication
from bocadillo.codecs import Payload

if TYPE_CHECKING:
    from bocadillo.channels.presence import PresenceStore


class Listener(Protocol):
    """Who hears of what a broker brings; none of these waits or raises."""

    def receive(self, publication: Publication) -> None:
        """Take a publication on a channel that is subscribed."""

    def lost(self, reason: str) -> None:
        """Note that from now on publications may be missed, and why."""

    def restored(self) -> None:
        """Note that all subscriptions stand again, and what was missed can be read."""


class Broker(ABC):
    """Carries publications to every process that subscribes, and keeps a history.

    Attributes:
        needs_close: Whether something outside of memory is held between start and close.
        timeout_s: Seconds after which a call gives up.
        presence: Who is in which channel; see `PresenceStore`.
        foreign: How often something came that no broker of this kind had published.
    """

    needs_close: ClassVar[bool] = True
    timeout_s: float = 5
    presence: "PresenceStore"
    foreign: int = 0

    @abstractmethod
    async def start(self, listener: Listener) -> None:
        """Connect, and from now on tell *listener*.

        Raises:
            BrokerError: there is nothing to connect to; the message names it, without
                its password. Nothing is left over then, and `start` may be called again.
        """

    @abstractmethod
    async def close(self) -> None:
        """End all that was started, for good; also where `start` was never called."""

    @abstractmethod
    async def publish(
        self,
        channel: str,
        payload: Payload,
        *,
        exclude: str | None = None,
        limits: HistoryLimits,
    ) -> Position:
        """Append to the history and hand to all who subscribe, in one step.

        Args:
            channel: Any text; channels with different names have nothing in common.
            payload: Arrives as `str` or as `bytes`, as it is.
            exclude: The id of a reader that does not get it; it travels along.
            limits: How much of the channel is kept from now on.

        Raises:
            BrokerError: it may or may not have been published.
        """

    @abstractmethod
    async def subscribe(self, channel: str) -> Position:
        """Have the listener get what is published on *channel* from now on.

        Returns the position of a publication after which the listener gets all, which
        may be a little later than the first that it gets.

        Raises:
            BrokerError: it is not subscribed.
        """

    @abstractmethod
    async def unsubscribe(self, channel: str) -> None:
        """Have the listener get no more of *channel*; without effect where it does not.

        Raises:
            BrokerError: it may come for a while yet, but not after the connection is
                restored.
        """

    @abstractmethod
    async def history(
        self, channel: str, *, limit: int | None = None, since: Position | None = None
    ) -> Past:
        """Return what is kept, oldest first, and the position of the newest.

        The newest *limit* publications, or with *since* the first *limit* after it. An
        unknown channel has nothing, and its newest position is `Position(0, "")`.

        Raises:
            PositionLost: not all publications after *since* are kept.
            BrokerError: the history cannot be read.
        """

    @abstractmethod
    async def newest(self, channels: Sequence[str]) -> list[Position]:
        """Return the newest position of each of *channels*, which may be thousands.

        Raises:
            BrokerError: they cannot be read.
        """
