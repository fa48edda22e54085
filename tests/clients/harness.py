"""Starts the simulated provider and a gateway in front of it, and keeps the score."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

BINARY = os.environ.get("FIREDOOR_BIN") or str(
    pathlib.Path(__file__).resolve().parents[2] / "target/debug/firedoor"
)

ROUTES = """
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
data_dir = "data"

[providers.openai]
dialect = "openai"
base_url = "http://{mock}/v1"

[providers.anthropic]
dialect = "anthropic"
base_url = "http://{mock}"

[providers.gemini]
dialect = "gemini"
base_url = "http://{mock}"

[providers.down]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"

[[routes]]
name = "down"
match = {{ model = "down-*" }}
targets = [{{ provider = "down" }}]

[[routes]]
name = "anthropic"
match = {{ dialect = "anthropic", model = ["claude-*"] }}
targets = [{{ provider = "anthropic" }}]
retry = {{ attempts = 1 }}
timeouts = {{ idle_ms = 700 }}

[[routes]]
name = "gemini"
match = {{ dialect = "gemini", model = ["gemini-*"] }}
targets = [{{ provider = "gemini" }}]
retry = {{ attempts = 1 }}
timeouts = {{ idle_ms = 700 }}

[[routes]]
name = "openai"
match = {{ dialect = ["openai-chat", "openai-responses"], model = ["gpt-*"] }}
targets = [{{ provider = "openai" }}]
retry = {{ attempts = 1 }}
timeouts = {{ idle_ms = 700 }}

[[routes]]
name = "rest"
match = {{ path = ["/v1/models*", "/v1/embeddings", "/v1/messages/*"] }}
targets = [{{ provider = "openai" }}]
"""

APPS = """
[apps.clients]
key_sha256 = ["{key}"]
limits = {{ requests_per_minute = {rpm} }}
"""


class Mock:
    """`firedoor mock` on a free port."""

    def __init__(self):
        self.process = subprocess.Popen(
            [BINARY, "mock", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
        )
        self.address = self.process.stdout.readline().strip()

    def stats(self):
        with urllib.request.urlopen(f"http://{self.address}/stats") as answer:
            return json.load(answer)

    def requests(self):
        return self.stats()["requests"]

    def stop(self):
        self.process.kill()
        self.process.wait()


class Gateway:
    """`firedoor serve` in front of a mock."""

    def __init__(self, mock, extra="", env=None):
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        (folder / "routes.toml").write_text(ROUTES.format(mock=mock.address) + extra)
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--config", str(folder / "routes.toml")],
            stderr=self.log,
            env={**os.environ, **(env or {})},
        )
        listen = folder / "data/listen.json"
        until = time.monotonic() + 20
        while not listen.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the gateway did not start: {(folder / 'log').read_text()}")
            time.sleep(0.02)
        self.address = json.loads(listen.read_text())["data"][0]
        self.socket = str(folder / "data/admin.sock")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


class Score:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def case(self, name, check):
        try:
            check()
        except Exception as error:  # noqa: BLE001 - whatever it is, the case failed
            self.failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {str(error)[:600]}")
        else:
            self.passed += 1
            print(f"ok   {name}")
        sys.stdout.flush()

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed else 0)


def same(direct, through):
    assert direct == through, f"direct {direct!r} but through {through!r}"
