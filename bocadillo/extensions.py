"""The names of ASGI extensions: what a server may offer in a scope; see docs/asgi-extensions.md."""

# Of the ASGI specification: an HTTP answer in place of a WebSocket.
DENIAL = "websocket.http.response"

# bocadillo's own server's, and whoever's wants to offer them.
ABORT = "bocadillo.abort"
BROADCAST = "bocadillo.broadcast"
PULL = "bocadillo.pull"

# No extension, but a key of the scope: what stands for the connection in two of them.
PEER = "bocadillo.peer"
