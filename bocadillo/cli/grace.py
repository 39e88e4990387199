"""How long handlers may go on when the server shuts down, over a whole application."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bocadillo.cli.listing import routes_of
from bocadillo.leaving import Times
from bocadillo.routing import Router
from bocadillo.views import View

# What the server waits beyond the grace of the handlers, for their clean-up.
CLEANUP_S = 5

# Whoever reloads does not want to wait.
RELOAD_GRACE_S = 0.5

# A sweep takes up to 1 s to see that a handler which has just gone to work must be told.
RELOAD_TIMEOUT_S = 2


def shutdown_timeout_s(app: Any) -> int:
    """Return how many seconds a server should wait for all handlers of *app* to end."""
    graces = [holder.times.shutdown_grace_s for holder in _holders(app)]
    return math.ceil(max(graces, default=Times().shutdown_grace_s) + CLEANUP_S)


def shorten_grace(app: Any, grace_s: float) -> None:
    """Let no handler of *app* go on for more than *grace_s* when the server shuts down."""
    for holder in _holders(app):
        shorter = min(grace_s, holder.times.shutdown_grace_s)
        holder.times = replace(holder.times, shutdown_grace_s=shorter)


def _holders(app: Any) -> Iterator[View | Router]:
    """Yield all that has `times`: views, and the router that future views take it from."""
    router = getattr(app, "router", app)
    if isinstance(router, Router):
        yield router
    for route in routes_of(app):
        if isinstance(route.endpoint, View):
            yield route.endpoint
