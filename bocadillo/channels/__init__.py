"""Channels: what reaches many connections at once. So far, the outbox of one reader."""
