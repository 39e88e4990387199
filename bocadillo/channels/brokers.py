"""Which broker a URL names."""

from bocadillo.channels.broker import Broker
from bocadillo.channels.memory import MemoryBroker
from bocadillo.errors import ConfigurationError

REDIS_SCHEMES = ("redis", "rediss", "unix")


def broker_for(url: str, timeout_s: float) -> Broker:
    """Return the broker that *url* names, not started yet.

    Raises:
        ConfigurationError: nothing is known by such a URL, or an extra is not installed.
    """
    scheme = url.partition("://")[0]
    if url == "memory://":
        return MemoryBroker()
    if scheme in REDIS_SCHEMES and "://" in url:
        from bocadillo.channels.redis import RedisBroker

        return RedisBroker(url, timeout_s=timeout_s)
    raise ConfigurationError(
        f"unknown broker {scheme!r}; possible: 'memory://', 'redis://host:6379/0', "
        "'rediss://…', 'unix://…', or a Broker"
    )
