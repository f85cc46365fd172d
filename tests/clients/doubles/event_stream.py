"""AWS's event stream: frames with their lengths, headers and two checksums."""

import json
import struct
import zlib


def header(name, value):
    """A header with a string in it, which is type 7."""
    name, value = name.encode(), value.encode()
    return struct.pack(">B", len(name)) + name + struct.pack(">BH", 7, len(value)) + value


def frame(kind, payload):
    """An event of this kind with JSON in it."""
    headers = (
        header(":event-type", kind) + header(":content-type", "application/json") + header(":message-type", "event")
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))
