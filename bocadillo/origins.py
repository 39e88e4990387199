"""Which web pages may connect: the check against cross-site WebSocket hijacking.

Browsers let any page open a WebSocket to any host, with the host's cookies, and no CORS
rule applies (RFC 6455 §10.2). What is no browser sends no `Origin` and is let in.
"""

from collections.abc import Collection
from ipaddress import IPv6Address, ip_address
from typing import TypeAlias
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from bocadillo.errors import ConfigurationError

# None for the rule below, "*" for every page, or origins such as "https://example.com".
AllowedOrigins: TypeAlias = Collection[str] | None

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

Origin: TypeAlias = tuple[str, str, int]  # scheme, host, port


class Origins:
    """The origins of pages that may connect.

    Args:
        allowed: Origins, compared as a whole, in addition to the application's own;
            "*" lets every page in. None lets a page of another site in only where it
            can do no harm by it: with neither cookies nor credentials in the request,
            and not to a host of the loopback interface.

    Raises:
        ConfigurationError: an origin that could never match.
    """

    def __init__(self, allowed: AllowedOrigins = None) -> None:
        self._is_any = allowed == "*"
        self._is_default = allowed is None
        if isinstance(allowed, str) and not self._is_any:
            raise ConfigurationError(f"allowed_origins takes '*' or a list, got {allowed!r}")
        listed = () if self._is_any or allowed is None else allowed
        self._listed = frozenset(_listed(origin) for origin in listed)

    def admit(self, connection: HTTPConnection) -> bool:
        """Tell whether the page that asks for *connection* may have it."""
        given = connection.headers.getlist("origin")
        if not given or self._is_any:
            return True
        origin = _parse(given[0])
        if len(given) > 1:
            return False
        if origin is not None and (origin in self._listed or _is_own(origin, connection)):
            return True
        return self._is_default and not _is_worth_stealing(connection.headers)


def _is_own(origin: Origin, connection: HTTPConnection) -> bool:
    """Tell whether *origin* is the host that is asked.

    A page by https may connect where the scheme is ws: a proxy takes the TLS off.
    """
    scheme = origin[0]
    fits = scheme == "https" or (scheme == "http" and connection.url.scheme == "ws")
    return fits and origin == _parse(f"{scheme}://{connection.headers.get('host', '')}")


def _is_worth_stealing(headers: Headers) -> bool:
    host = _parse(f"http://{headers.get('host', '')}")
    is_local = host is None or _is_loopback(host[1])
    return is_local or "cookie" in headers or "authorization" in headers


def _is_loopback(host: str) -> bool:
    """Tell whether a host is this machine by its name or address; no name is looked up."""
    host = host.rstrip(".").partition("%")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified


def _listed(origin: str) -> Origin:
    parsed = _parse(origin) if isinstance(origin, str) else None
    if parsed is None or parsed[0] not in DEFAULT_PORTS or "*" in origin:
        raise ConfigurationError(
            f"{origin!r} is no origin; write scheme, host and port: 'https://example.com'"
        )
    return parsed


def _parse(origin: str) -> Origin | None:
    """Return what makes an origin (RFC 6454 §4), or None for what is none, as "null"."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port or DEFAULT_PORTS.get(parts.scheme, 0)
