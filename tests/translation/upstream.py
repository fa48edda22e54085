"""A provider of any dialect that plays what it is told to, by the model that it is asked for, and keeps what it was sent."""

import dataclasses
import http.server
import json
import re
import threading
import urllib.parse

MODEL_IN_PATH = re.compile(r"/(?:models|model)/([^/:]+)(?::|/converse)")


@dataclasses.dataclass
class Play:
    """An answer. A stream goes out in `pieces`, and waits before each for what is set in `gates` at its number."""

    status: int
    content_type: str
    pieces: list
    headers: dict = dataclasses.field(default_factory=dict)
    is_stream: bool = False
    gates: dict = dataclasses.field(default_factory=dict)

    @classmethod
    def whole(cls, body, status=200, headers=None):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return cls(status, "application/json", [body], headers or {})


class Upstream:
    """Use as a context manager."""

    def __enter__(self):
        self.plays, self.requests = {}, {}
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                path = urllib.parse.unquote(self.path)
                named = MODEL_IN_PATH.search(path)
                model = named.group(1) if named else json.loads(body)["model"]
                upstream.requests.setdefault(model, []).append((path, dict(self.headers), json.loads(body)))
                try:
                    self.play(upstream.plays[model])
                except OSError:
                    self.close_connection = True

            def play(self, play):
                self.send_response(play.status)
                for name, value in {"content-type": play.content_type, **play.headers}.items():
                    self.send_header(name, value)
                if play.is_stream:
                    self.send_header("transfer-encoding", "chunked")
                    self.end_headers()
                    for number, piece in enumerate(play.pieces):
                        if number in play.gates:
                            play.gates[number].wait(30)
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                        self.wfile.flush()
                    self.wfile.write(b"0\r\n\r\n")
                else:
                    body = b"".join(play.pieces)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request, client_address):
                # A connection that its client left.
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = "{}:{}".format(*self.server.server_address)
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    def stage(self, model, play):
        self.plays[model] = play
        return model

    def asked(self, model):
        """The bodies of what it was asked as this model."""
        return self.requests.get(model, [])
