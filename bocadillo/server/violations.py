"""What a peer did against the protocol, as an exception that knows its close code."""


class ProtocolError(Exception):
    """The peer broke a rule, or a limit of this server.

    Args:
        code: The close code that answers it (RFC 6455 §7.4.1): 1002, 1007, 1008 or 1009.
        reason: What is wrong, for the close frame and the log; at most 123 bytes.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason} ({self.code})"
