"""A method of a controller → what the lifecycle calls, on the one instance of all connections."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from bocadillo.endings import AnyWebSocket
from bocadillo.injection import Ask, Lifetime, Session
from bocadillo.lifecycle import Calls
from bocadillo.methods import Constructor, Instance, Methods

KIND = "controller"


class Controller:
    """A class whose one instance serves all connections; built when the first one comes.

    Raises:
        ConfigurationError: its constructor asks for what is not injected.
    """

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.constructor = Constructor(cls, KIND, Lifetime.APP)

    async def build(self, session: Session, instance: Instance) -> None:
        """Have *instance* be the one that lives with the application."""
        instance.value = await self.constructor.share(self, session)


class SharedMethod:
    """A method of a controller, as the handler of a route.

    Args:
        controller: Whose method it is.
        name: Its name.
    """

    def __init__(self, controller: Controller, name: str) -> None:
        self._controller = controller
        self._name = name
        self.__name__ = f"{controller.cls.__name__}.{name}"
        self.__qualname__ = f"{controller.cls.__qualname__}.{name}"
        self.__module__ = controller.cls.__module__

    def plan(self, path_params: Collection[str]) -> "SharedPlan":
        """Return how to serve connections by it."""
        return SharedPlan(self._controller, self._name, path_params)


class SharedPlan:
    """How to serve connections by a method of a controller.

    `process_request`, `on_connect` and `on_disconnect` of the controller are optional, sync
    or async, and run for each connection of each of its routes.

    Raises:
        ConfigurationError: a method asks for what nothing supplies.
        ExpectedAsync: the method is no `async def`.
    """

    def __init__(self, controller: Controller, name: str, path_params: Collection[str]) -> None:
        self._controller = controller
        self._methods = Methods(controller.cls, name, path_params, KIND)
        self.body: Callable[..., Any] = getattr(controller.cls, name)
        self.asks: tuple[Ask, ...] = (*controller.constructor.asks, *self._methods.asks)

    def bind(self, ws: AnyWebSocket, session: Session) -> Calls:
        """Return what to call for one connection.

        Raises:
            InvalidParameters: what the client gave cannot be converted.
        """
        instance = Instance()
        calls = self._methods.bind(ws, session, instance)
        build = partial(self._controller.build, session, instance)
        calls.hooks = [(f"{self._controller.cls.__name__}()", build), *calls.hooks]
        return calls
