"""`Supply`: what a router's providers make, in each event loop by a container of its own."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from bocadillo.channels import Channels
from bocadillo.errors import ConfigurationError
from bocadillo.injection.asks import Ask, Lifetime
from bocadillo.injection.containers import (
    checked,
    close,
    close_each,
    get,
    make_container,
    scope_of,
)

if TYPE_CHECKING:
    from dishka import AsyncContainer
    from dishka.entities.key import DependencyKey
    from dishka.provider import BaseProvider

# dishka has RUNTIME above APP; what is there (the container itself) is there for all.
_ALLOWED = {
    lifetime: {"RUNTIME", *(known.name for known in Lifetime if known <= lifetime)}
    for lifetime in Lifetime
}


# What to do instead, by the longest-lived scope that an asker may not have.
_WAYS_OUT = {
    Lifetime.APP: ("it is built once for all connections; ask for it in the methods that need it"),
    Lifetime.SESSION: (
        "it would be held as long as the connection is open. Ask for "
        "`container: Inject[AsyncContainer]`, and write "
        "`async with container() as message: … await message.get({type})` around the work"
    ),
    Lifetime.REQUEST: "nothing opens that scope here",
}


class Supply:
    """What the providers of one router supply.

    Args:
        providers: dishka's; what a later one provides takes the place of an earlier one's.
        channels: The channels of the router; None where each connection knows its own.

    Each event loop has a container of its own, made when it is first needed and closed by
    `close`.

    Raises:
        ConfigurationError: the providers cannot work together.
    """

    def __init__(
        self,
        providers: "Sequence[BaseProvider]" = (),
        channels: Callable[[], Channels] | None = None,
    ) -> None:
        self._channels = channels
        self._layers = [_Layer(checked(providers), channels)]
        self._retired: list[_Layer] = []  # of overrides that have ended, but are not closed
        self._asks: dict[Ask, None] = {}

    @property
    def container(self) -> "AsyncContainer":
        """The container of the running event loop, or the one that the next loop gets."""
        return self._layers[-1].container()

    def here(self) -> "Live":
        """Return what lives with the application in the running event loop."""
        return self._layers[-1].here()

    def check(self, asks: Iterable[Ask]) -> None:
        """Refuse what cannot be supplied.

        Raises:
            ConfigurationError: nothing provides it, or it does not live long enough.
        """
        for ask in asks:
            if ask not in self._asks:
                for layer in self._layers:  # overrides come and go
                    layer.check(ask)
                self._asks[ask] = None

    @contextlib.contextmanager
    def override(self, *providers: "BaseProvider") -> Iterator[None]:
        """Put providers in the place of those that provide the same, for a while.

        Connections that are opened meanwhile see them. What they made is closed where
        the application's objects are.

        Raises:
            ConfigurationError: the providers cannot work, or what they provide does not
                live as long as somebody needs.
        """
        layer = _Layer((*self._layers[-1].providers, *checked(providers)), self._channels)
        for ask in self._asks:
            layer.check(ask)
        self._layers.append(layer)
        try:
            yield
        finally:
            self._layers.remove(layer)
            if layer.is_live:
                self._retired.append(layer)

    async def close(self) -> None:
        """Close what lives with the application in the running event loop.

        Raises:
            Exception: what a provider raised while it was closed; the others were closed.
        """
        try:
            layers = [*self._retired, *self._layers]
            await close_each(layer.close for layer in reversed(layers))
        finally:
            self._retired = [layer for layer in self._retired if layer.is_live]  # in other loops


class Live:
    """What lives with an application in one event loop: a container, and what was built."""

    def __init__(self, container: "Callable[[], AsyncContainer]") -> None:
        self._make = container
        self._container: AsyncContainer | None = None
        self.replaces_channels = False  # whether the user's providers have some of their own
        self._is_app: dict[DependencyKey, bool] = {}
        self._making: dict[DependencyKey, asyncio.Task[Any]] = {}
        self._built: dict[object, Any] = {}
        self._locks: dict[object, asyncio.Lock] = {}

    @property
    def container(self) -> "AsyncContainer":
        """The container, made now if nothing has needed it."""
        if self._container is None:
            self._container = self._make()
        return self._container

    def has(self, ask: Ask) -> bool:
        """Tell whether what is asked for lives with the application."""
        is_app = self._is_app.get(ask.key)
        if is_app is None:
            scope = scope_of(self.container, ask.key)
            is_app = self._is_app[ask.key] = scope == Lifetime.APP.name
        return is_app

    async def get(self, ask: Ask) -> Any:
        """Return what lives with the application.

        It is made in a task of its own: who waits for it may leave, and what was made
        already is at hand for everybody meanwhile.
        """
        making = self._making.get(ask.key)
        if making is None or (making.done() and (making.cancelled() or making.exception())):
            making = asyncio.ensure_future(get(self.container, ask))
            making.add_done_callback(_look_at)
            self._making[ask.key] = making
        return making.result() if making.done() else await asyncio.shield(making)

    async def close(self) -> None:
        """Close the container, if there is one."""
        unmade = [task for task in self._making.values() if not task.done()]
        for task in unmade:
            task.cancel()
        if unmade:
            await asyncio.wait(unmade)
        if self._container is not None:
            await close(self._container)

    async def build(self, key: object, cls: type, asks: Sequence[Ask]) -> Any:
        """Return the one instance of *key*, making it of *cls* unless that was done.

        Whoever comes while it is being made waits. A constructor that fails is tried again
        by the next.
        """
        if key not in self._built:
            async with self._locks.setdefault(key, asyncio.Lock()):
                if key not in self._built:
                    given = {ask.parameter: await self.get(ask) for ask in asks}
                    self._built[key] = cls(**given)
        return self._built[key]


def _look_at(making: "asyncio.Task[Any]") -> None:
    """Have a failure count as seen, also where everybody who waited has left."""
    if not making.cancelled():
        making.exception()


class _Layer:
    """A set of providers, and the containers made of it."""

    def __init__(
        self,
        providers: "tuple[BaseProvider, ...]",
        channels: Callable[[], Channels] | None,
    ) -> None:
        self.providers = providers
        self._channels = channels
        factories = (factory for one in providers for factory in one.factories)
        self._replaces_channels = any(f.provides.type_hint is Channels for f in factories)
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Live] = WeakKeyDictionary()
        # The container that the next loop gets; providers that cannot work show at once.
        self._spare: AsyncContainer | None = None
        if providers:
            self._next()

    @property
    def is_live(self) -> bool:
        return len(self._by_loop) > 0

    def here(self) -> Live:
        loop = asyncio.get_running_loop()
        live = self._by_loop.get(loop)
        if live is None:
            live = self._by_loop[loop] = Live(self._take_spare)
            live.replaces_channels = self._replaces_channels
        return live

    def container(self) -> "AsyncContainer":
        try:
            return self.here().container
        except RuntimeError:  # no loop is running
            return self._next()

    def check(self, ask: Ask) -> None:
        scope = scope_of(self._next(), ask.key)
        if scope is None:
            raise ConfigurationError(f"{ask}, which {self._nobody()}")
        if scope not in _ALLOWED[ask.lifetime]:
            way_out = _WAYS_OUT[ask.lifetime].format(type=ask.wanted)
            raise ConfigurationError(f"{ask}, which has scope {scope}: {way_out}")

    async def close(self) -> None:
        live = self._by_loop.pop(asyncio.get_running_loop(), None)
        if live is not None:
            await live.close()

    def _nobody(self) -> str:
        if self.providers:
            return "no provider of the nearest router that has providers supplies"
        return "nothing supplies: there are no providers; write App(providers=[…])"

    def _next(self) -> "AsyncContainer":
        if self._spare is None:
            self._spare = make_container(self.providers, self._channels)
        return self._spare

    def _take_spare(self) -> "AsyncContainer":
        container, self._spare = self._next(), None
        return container
