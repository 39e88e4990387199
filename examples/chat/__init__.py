"""A chat: rooms, names, and a page that keeps itself connected."""
