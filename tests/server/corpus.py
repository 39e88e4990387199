"""Byte streams worth keeping, with what has to come of each: messages, or a close code.

Each once told one implementation of the protocol from another, or is an example of the RFCs.
A stream that a fuzzer finds is added here with its answer.
"""

from bocadillo.server.frames import Close, Ping, Pong

Kept = tuple[str, list[object]]

# A number stands for the close code of the failure. Masks are zero where that reads better.
CORPUS: dict[str, Kept] = {
    "RFC 6455 §5.7: a masked text": ("81 85 37fa213d 7f9f4d5158", ["Hello"]),
    "RFC 6455 §5.7: an unmasked text": ("81 05 48656c6c6f", [1002]),
    "empty text and binary": ("81 80 00000000 82 80 00000000", ["", b""]),
    "text of three frames, the second empty": (
        "01 81 00000000 61 00 80 00000000 80 81 00000000 62",
        ["ab"],
    ),
    "all frames of a text are empty": ("01 80 00000000 80 80 00000000", [""]),
    "ping between fragments": (
        "01 81 00000000 61 89 81 00000000 70 80 81 00000000 62",
        [Ping(b"p"), "ab"],
    ),
    "pong nobody asked for": ("8a 80 00000000", [Pong(b"")]),
    "close in the middle of a message": (
        "01 81 00000000 61 88 82 00000000 03e8",
        [Close(1000, "")],
    ),
    "close without a code": ("88 80 00000000", [Close(1005, "")]),
    "close with reason, then text": (
        "88 84 00000000 0bb9 6f6b 81 80 00000000",
        [Close(3001, "ok")],
    ),
    "close with half a code": ("88 81 00000000 03", [1002]),
    "close with code 1005": ("88 82 00000000 03ed", [1002]),
    "close with a reason that is not UTF-8": ("88 83 00000000 03e8 ff", [1007]),
    "text, then opcode 3": ("81 81 00000000 61 83 80 00000000", ["a", 1002]),
    "RSV1 though nothing was negotiated": ("c1 80 00000000", [1002]),
    "RSV3": ("91 80 00000000", [1002]),
    "fragmented ping": ("09 80 00000000", [1002]),
    "ping of 126 bytes": ("89 fe 007e 00000000", [1002]),
    "length 0 of a ping in 64 bits": ("89 ff 0000000000000000 00000000", [1002]),
    "ping after a fragment that cannot become UTF-8": (
        "01 81 00000000 f5 89 80 00000000",
        [1007],
    ),
    "two bytes announced in 16 bits": ("82 fe 0002 00000000 6162", [1002]),
    "two bytes announced in 64 bits": ("82 ff 0000000000000002 00000000 6162", [1002]),
    "length of 2^63": ("82 ff 8000000000000000", [1002]),
    "length of 2^40": ("82 ff 0000010000000000", [1009]),
    "continuation of nothing": ("80 80 00000000", [1002]),
    "a text begins inside of another": ("01 80 00000000 81 80 00000000", [1002]),
    "a character spread over two frames": ("01 81 00000000 c3 80 81 00000000 a9", ["é"]),
    "half a character at the end": ("81 81 00000000 c3", [1007]),
    "half of a surrogate pair": ("81 83 00000000 eda080", [1007]),
    "first fragment cannot become UTF-8": ("01 84 00000000 f4908080", [1007]),
    "nothing but the first byte": ("81", []),
    "header without the last byte of the mask": ("81 81 000000", []),
}
