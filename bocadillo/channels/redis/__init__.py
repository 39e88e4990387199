"""`RedisBroker`: channels on Redis 6.2 or later, or Valkey; needs the extra `redis`."""

from bocadillo.channels.redis.broker import RedisBroker

__all__ = ["RedisBroker"]
