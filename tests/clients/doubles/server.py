"""The HTTP side of a double: a request in, an answer, a stream or a refusal out."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    path: str
    """As on the wire, without the query."""
    query: dict
    headers: dict
    """Names are lower case."""
    body: bytes

    def json(self):
        return json.loads(self.body)


@dataclass
class Reply:
    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: dict = field(default_factory=dict)
    pieces: list | None = None
    """A stream's pieces, written one after the other."""


class Refusal(Exception):
    """An error in the provider's own words."""

    def __init__(self, status, body, headers=None):
        super().__init__(f"{status} {body}")
        self.reply = Reply(json.dumps(body).encode(), status=status, headers=headers or {})


def answer_json(body, **headers):
    return Reply(json.dumps(body).encode(), headers=headers)


def server_sent(events, line="\n"):
    """A stream of events: `data` alone, or pairs of a name and data."""
    pieces = []
    for event in events:
        name, data = event if isinstance(event, tuple) else (None, event)
        text = data if isinstance(data, str) else json.dumps(data)
        named = f"event: {name}{line}" if name else ""
        pieces.append(f"{named}data: {text}{line}{line}".encode())
    return Reply(b"", content_type="text/event-stream", pieces=pieces)


class Server:
    """Serves `answer(request)` on a free port."""

    def __init__(self, answer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Small pieces must not wait for each other.
            disable_nagle_algorithm = True

            def do_POST(self):
                length = int(self.headers["content-length"])
                url = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(url.path, dict(parse_qsl(url.query)), headers, self.rfile.read(length))
                try:
                    reply = answer(request)
                except Refusal as refusal:
                    reply = refusal.reply
                self.send_response(reply.status)
                self.send_header("content-type", reply.content_type)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.pieces is None:
                    self.send_header("content-length", str(len(reply.body)))
                    self.end_headers()
                    self.wfile.write(reply.body)
                    return
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for piece in [*reply.pieces, b""]:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"
