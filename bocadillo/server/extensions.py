"""The ASGI extensions that every scope has; see docs/asgi-extensions.md."""

from typing import Any

from bocadillo.server.broadcasting import broadcast
from bocadillo.server.reading import Reading

# In every scope, the same objects: what an application does with them, it does to all.
EXTENSIONS: dict[str, dict[str, Any]] = {
    "websocket.http.response": {},
    "bocadillo.broadcast": {"broadcast": broadcast},
    "bocadillo.pull": {"pull": Reading.pull},
    "bocadillo.abort": {},
}
