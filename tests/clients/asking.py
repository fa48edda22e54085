"""Where a Python client is pointed, what it is told or raises, and how often it asked for that."""

import json
import re

from score import cell

MODELS = {"openai": "gpt-4o", "anthropic": "claude-haiku-4-5", "gemini": "gemini-2.5-flash"}


class To:
    """Where a client is pointed, and what has come out of it so far."""

    def __init__(self, address, key="test-key", headers=None, model="", prefix=""):
        self.address, self.key, self.headers, self.suffix = address, key, headers or {}, model
        self.prefix, self.text = prefix, ""

    def model(self, family):
        return MODELS[family] + self.suffix

    def url(self, path=""):
        return f"http://{self.address}{self.prefix}{path}"


def plain(value):
    """What the simulated provider counts or dates anew in every answer is taken out."""
    text = json.dumps(value, ensure_ascii=False, default=str, sort_keys=True)
    text = re.sub(r"mock_?-?\d+", "mock", text)
    return re.sub(r'"created(_at)?": [\d.]+', '"created": 0', text)


def said(error):
    """Everything that an exception and its causes tell their catcher."""
    parts = []
    while error is not None:
        parts += [str(error), json.dumps(getattr(error, "body", None), default=str), str(getattr(error, "details", ""))]
        error = error.__cause__
    return " ".join(parts)


def measured(score, client, column, tap, ask, to, prompt):
    """Calls, and notes in the tables how often the client asked and what it raised."""
    try:
        got = ask(to, prompt)
    except Exception as error:  # noqa: BLE001
        score.note(client, column, cell(tap.requests, type(error).__name__))
        return error
    score.note(client, column, cell(tap.requests, "NO EXCEPTION"))
    raise AssertionError(f"no exception: a failure was taken for the answer {str(got)[:300]}")
