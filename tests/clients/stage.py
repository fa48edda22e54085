"""The stage that every suite plays on: the simulated provider, gateways in front of it, and taps.

A tap is a plain TCP relay in front of one of them that counts the requests a client sends. It is how
many times a client asked, whoever answered, and does not rely on what the gateway says of itself.

As a command, `stage.py COMMAND ...` runs a suite in another language: it finds the stage in the
environment variable STAGE, and makes taps through the control address given there.
"""

import asyncio
import hashlib
import http.server
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("FIREDOOR_BIN") or str(ROOT / "target/debug/firedoor")
RECORDINGS = pathlib.Path(os.environ.get("FIREDOOR_DATA") or ROOT.parent / "shared/data") / "wire"

# Every client whose provider is made to fail has targets of its own, so that their circuits stay apart: its models end in
# its slot's name. Every slot has an app of its own too.
SLOTS = [f"s{number:02}" for number in range(48)]
PROVIDER_KEY = "key-of-the-provider"
IDLE_MS = 1000
# The longest that anything here is waited for.
PATIENCE_SECONDS = 20

SERVER = '[server]\nlisten = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\ndata_dir = "data"\n'
FAMILIES = {
    # The provider's dialect, its base URL, the dialects of requests, the models.
    "openai": ("http://{mock}/v1", '["openai-chat", "openai-responses"]', "gpt-*"),
    "anthropic": ("http://{mock}", '"anthropic"', "claude-*"),
    "gemini": ("http://{mock}", '"gemini"', "gemini-*"),
}


def app_key(slot):
    return f"key-of-app-{slot}"


def _route(name, match, provider, idle_ms=IDLE_MS):
    return (
        f'[[routes]]\nname = "{name}"\nmatch = {{ {match} }}\ntargets = [{{ provider = "{provider}" }}]\n'
        f"retry = {{ attempts = 1 }}\ntimeouts = {{ idle_ms = {idle_ms} }}\n"
    )


def open_routes(mock):
    """No apps; the caller's credential is passed through; no attempt of the gateway's own is added to the client's."""
    providers, routes = "", ""
    for family, (url, dialects, models) in FAMILIES.items():
        base = url.format(mock=mock)
        row = f'dialect = "{family}"\nbase_url = "{base}"\n'
        providers += f"[providers.{family}]\n{row}"
        providers += f'[providers.{family}-down]\ndialect = "{family}"\nbase_url = "{url.format(mock="127.0.0.1:9")}"\n'
        routes += _route(f"{family}-down", f'dialect = {dialects}, model = "*-down"', f"{family}-down")
        for slot in SLOTS:
            providers += f"[providers.{family}-{slot}]\n{row}"
            routes += _route(f"{family}-{slot}", f'dialect = {dialects}, model = "*-{slot}"', f"{family}-{slot}")
    for family, (_, dialects, models) in FAMILIES.items():
        # What is recorded may come in one piece after another, but never stalls.
        routes += _route(family, f'dialect = {dialects}, model = "{models}"', family, 20000)
    paths = {
        "gemini": ["/v1beta/models", "/v1beta/models/*:countTokens", "/v1/models/*:countTokens"],
        "anthropic": ["/v1/messages/*"],
        "openai": ["/v1/models", "/v1/embeddings"],
    }
    for family, list_of in paths.items():
        routes += _route(f"{family}-rest", f"path = {json.dumps(list_of)}", family)
    return SERVER + providers + routes


def apps_routes(mock):
    """Apps with one request a minute each, and providers with a credential."""
    text = SERVER
    for family, (url, _, _) in FAMILIES.items():
        text += f'[providers.{family}]\ndialect = "{family}"\nbase_url = "{url.format(mock=mock)}"\napi_key = "{PROVIDER_KEY}"\n'
    for slot in SLOTS:
        key = hashlib.sha256(app_key(slot).encode()).hexdigest()
        text += f'[apps.{slot}]\nkey_sha256 = ["{key}"]\nlimits = {{ requests_per_minute = 1 }}\n'
    for family, (_, dialects, models) in FAMILIES.items():
        text += _route(family, f'dialect = {dialects}, model = "{models}"', family)
    return text


class Mock:
    """`firedoor mock` on a free port, with the recorded traffic as its tapes."""

    def __init__(self):
        self.process = subprocess.Popen(
            [BINARY, "mock", "--listen", "127.0.0.1:0", "--tape", str(RECORDINGS)], stdout=subprocess.PIPE, text=True
        )
        self.address = self.process.stdout.readline().strip()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
            return json.load(answer)

    def wait_for(self, model):
        """Until it has been asked as this model."""
        until = time.monotonic() + PATIENCE_SECONDS
        while model not in json.dumps(self.get("/requests")):
            assert time.monotonic() < until, f"the provider was not asked as {model}"
            time.sleep(0.02)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Gateway:
    """`firedoor serve` with these routes."""

    def __init__(self, routes):
        self.folder = tempfile.TemporaryDirectory(prefix="firedoor-clients-")
        folder = pathlib.Path(self.folder.name)
        (folder / "routes.toml").write_text(routes)
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen([BINARY, "serve", "--config", str(folder / "routes.toml")], stderr=self.log)
        listen = folder / "data/listen.json"
        until = time.monotonic() + 20
        while not listen.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the gateway did not start: {(folder / 'log').read_text()}")
            time.sleep(0.02)
        self.address = json.loads(listen.read_text())["data"][0]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()


class Shell:
    """`firedoor`, at one gateway, by the socket in its folder."""

    def __init__(self, gateway):
        self.data = f"{gateway.folder.name}/data"

    def run(self, *arguments):
        done = subprocess.run(
            [BINARY, *arguments, "--reason", "a test"], env={**os.environ, "FIREDOOR_DATA_DIR": self.data, "FIREDOOR_AUTHOR": "suite"},
            capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert done.returncode == 0, f"firedoor {' '.join(arguments)}: {done.returncode} {done.stdout} {done.stderr}"
        return json.loads(done.stdout)

    def kill(self, scope):
        """Pulls it, and returns its id."""
        return self.run("kill", scope)["lever"]["id"]

    def cut(self, scope):
        """Pulls it while one exchange is under way, and returns its id."""
        pulled = self.run("kill", scope)
        assert (pulled["exchanges"]["ordered"], pulled["exchanges"]["bytes_after_publication"]) == (1, 0), pulled
        return pulled["lever"]["id"]

    def lift(self, scope):
        assert len(self.run("lift", scope)) == 1, scope


# Questions to a model; some clients also knock with HEAD.
REQUEST_LINE = re.compile(rb"POST /[^ \r\n]* HTTP/1\.1\r\n")
# Longer than any request line of the suites: what a line may have been cut to at the end of a read.
LINE_MAX = 4096
# The second word of what the simulated provider says.
SECOND_WORD = b"quick"


class Tap:
    """One relay: its address, how many POST requests went through it, whether an answer to one has begun, and has two words."""

    def __init__(self, number, target, corrupt):
        self.number, self.target, self.corrupt = number, target, corrupt
        self.requests, self.address, self.server, self.answered = 0, "", None, threading.Event()
        self.spoken = threading.Event()

    async def open(self):
        self.server = await asyncio.start_server(self._client, "127.0.0.1", 0, limit=1 << 20)
        host, port = self.server.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    async def _client(self, reader, writer):
        host, port = self.target.rsplit(":", 1)
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        asked, tail = asyncio.Event(), b""
        up = asyncio.ensure_future(self._up(reader, upstream_writer, asked))
        try:
            while data := await upstream_reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
                if asked.is_set():
                    self.answered.set()
                    tail += data
                    if SECOND_WORD in tail:
                        self.spoken.set()
                    tail = tail[-len(SECOND_WORD):]
            writer.close()
        except OSError:
            # A reset stays a reset.
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        up.cancel()
        upstream_writer.close()

    async def _up(self, reader, writer, asked):
        tail = b""
        try:
            while data := await reader.read(1 << 16):
                seen = tail + data
                lines = [line for line in REQUEST_LINE.finditer(seen) if line.end() > len(tail)]
                self.requests += len(lines)
                if lines:
                    asked.set()
                tail = seen[-LINE_MAX:]
                if self.corrupt:
                    # The body is no JSON any more, and as long as before.
                    data = re.sub(rb'^\{"|(?<=\r\n\r\n)\{"', b'["', data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()


class Stage:
    """All of it. Use as a context manager."""

    def __enter__(self):
        if not RECORDINGS.is_dir():
            raise SystemExit(f"the recorded provider traffic is not at {RECORDINGS}: set FIREDOOR_DATA to the folder that holds wire/")
        self.mock = Mock()
        self.gateways = {"open": Gateway(open_routes(self.mock.address)), "apps": Gateway(apps_routes(self.mock.address))}
        self.addresses = {"mock": self.mock.address, **{name: gateway.address for name, gateway in self.gateways.items()}}
        self.shell = Shell(self.gateways["open"])
        self.open_taps()
        return self

    def open_taps(self):
        self.taps = []
        self.loop = asyncio.new_event_loop()
        # Clients leave as they like: that is no event worth a line.
        self.loop.set_exception_handler(lambda *_: None)
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        for gateway in self.gateways.values():
            gateway.stop()
        self.mock.stop()

    def tap(self, where, corrupt=False):
        tap = Tap(len(self.taps), self.addresses[where], corrupt)
        self.taps.append(tap)
        asyncio.run_coroutine_threadsafe(tap.open(), self.loop).result(10)
        return tap

    def kill_under_way(self, tap, model, streams):
        """Kills a model while one answer of it is under way, and returns the lever's id.

        A stream is once its first words went through the tap, a whole answer once the provider was asked.
        """
        if streams:
            assert tap.spoken.wait(PATIENCE_SECONDS), f"no answer of {model} began"
        else:
            self.mock.wait_for(model)
        return self.shell.cut(f"model:{model}")

    def control(self):
        """Serves taps and kills over HTTP; returns the address."""
        stage = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query))
                if url.path == "/tap":
                    tap = stage.tap(query["to"], "corrupt" in query)
                    answer = {"number": tap.number, "address": tap.address}
                elif url.path == "/kill":
                    try:
                        if "scope" in query:
                            lever = stage.shell.kill(query["scope"])
                        else:
                            lever = stage.kill_under_way(stage.taps[int(query["number"])], query["model"], "streams" in query)
                        answer = {"lever": lever}
                    except AssertionError as error:
                        answer = {"failed": str(error)}
                else:
                    answer = {"requests": stage.taps[int(query["number"])].requests}
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return "{}:{}".format(*server.server_address)


def main():
    with Stage() as stage:
        told = {
            **stage.addresses, "control": stage.control(), "slots": SLOTS, "keys": {slot: app_key(slot) for slot in SLOTS},
            "provider_key": PROVIDER_KEY,
        }
        code = subprocess.run(sys.argv[1:], env={**os.environ, "STAGE": json.dumps(told)}).returncode
    sys.exit(code)


if __name__ == "__main__":
    main()
