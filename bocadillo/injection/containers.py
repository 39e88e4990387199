"""dishka's containers: made of providers, looked into, closed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bocadillo.channels import Channels
from bocadillo.errors import ConfigurationError
from bocadillo.injection.asks import Ask
from bocadillo.websockets import WebSocket

if TYPE_CHECKING:
    from dishka import AsyncContainer
    from dishka.entities.key import DependencyKey
    from dishka.provider import BaseProvider
    from dishka.registry import Registry


def checked(providers: "Sequence[BaseProvider]") -> "tuple[BaseProvider, ...]":
    """Return providers; refuse what is none."""
    if not providers:
        return ()
    from dishka.provider import BaseProvider

    if isinstance(providers, BaseProvider):
        raise ConfigurationError("providers takes a list; write `providers=[provider]`")
    listed = tuple(providers) if isinstance(providers, Iterable) else (providers,)
    for provider in listed:
        if not isinstance(provider, BaseProvider):
            name = getattr(provider, "__name__", repr(provider))
            raise ConfigurationError(
                f"providers takes instances of dishka.Provider, got {name}; "
                "write `provider = Provider(scope=Scope.APP)` and `provider.provide(…)`"
            )
    return listed


def make_container(
    providers: "Sequence[BaseProvider]", channels: Callable[[], Channels] | None = None
) -> "AsyncContainer":
    """Return the container of scope APP that providers make.

    Args:
        providers: dishka's.
        channels: The channels that live with the application; None where each
            connection knows its own.
    """
    from dishka import Provider, Scope, make_async_container
    from dishka.exception_base import DishkaError

    own = Provider(scope=Scope.SESSION)
    own.from_context(WebSocket)
    if channels is None:
        own.provide(_channels_of, provides=Channels)
    else:
        own.provide(channels, provides=Channels, scope=Scope.APP)
    try:
        return make_async_container(own, *providers)
    except DishkaError as exc:
        raise ConfigurationError(f"the providers cannot work together: {exc}") from exc


def _channels_of(ws: WebSocket) -> Channels:
    return ws.channels


def scope_of(container: "AsyncContainer", key: "DependencyKey") -> str | None:
    """Return the name of the scope in which a container supplies something."""
    while container.parent_container is not None:
        container = container.parent_container
    registry: Registry | None = container.registry
    while registry is not None:
        if registry.get_factory(key) is not None:
            return str(registry.scope.name)
        registry = registry.child_registry
    return None


async def get(container: "AsyncContainer", ask: Ask) -> Any:
    """Return what was asked for."""
    return await container.get(ask.key.type_hint, ask.key.component)


async def close(
    container: "AsyncContainer",
    failure: BaseException | None = None,
    timeout_s: float | None = None,
) -> None:
    """Close a container: all that its providers have made, whatever one of them does.

    Args:
        container: The container.
        failure: What ended the life of its objects; they are told.
        timeout_s: Seconds for it; what then still closes is cancelled, and those that
            are left have as long.

    Raises:
        TimeoutError: something took longer.
        Exception: what a provider raised, or a group of such.
    """
    from dishka.exceptions import ExitError

    failures: list[Exception] = []
    is_closed = False
    while not is_closed:  # dishka has done with an object when it begins to close it
        try:
            async with asyncio.timeout(timeout_s):
                await container.close(failure)
            is_closed = True
        except TimeoutError:
            text = f"closing took more than {timeout_s:g} s, and was cancelled"
            failures.append(TimeoutError(text))
        except ExitError as exc:
            failures.extend(exc.exceptions)
            is_closed = True
    raise_together(failures)


async def close_each(closers: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Call all of *closers*, one after another, whatever one of them raises.

    Raises:
        Exception: what one raised, or a group of such.
    """
    failures = []
    for closer in closers:
        try:
            await closer()
        except Exception as exc:
            failures.append(exc)
    raise_together(failures)


def raise_together(failures: list[Exception]) -> None:
    """Raise one exception as it is, and several as a group."""
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise ExceptionGroup("several providers failed while they were closed", failures)
