"""SDKs under levers that are pulled with the command line: how often they ask, what they raise, and that it works again.

Every lever names a model of its own, so that cases do not meet each other's.
"""

import dataclasses
import re
import threading

import bodies
import callers
import stage as theatre
import tapes
from google.genai import types as genai_types

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


class Asking(threading.Thread):
    """One call of a user, under way."""

    def __init__(self, caller, *arguments, **more):
        super().__init__(daemon=True)
        self.call = lambda: callers.ASK[caller](*arguments, **more)
        self.error = self.told = None
        self.start()

    def run(self):
        try:
            self.told = self.call()
        except Exception as error:  # noqa: BLE001 - it is the result
            self.error = error

    def raised(self):
        self.join(theatre.PATIENCE_SECONDS)
        assert not self.is_alive(), "it still waits"
        assert self.error is not None, f"no exception: {self.told}"
        return self.error


def code_of(error):
    """Where the dialect has a member for it."""
    return getattr(error, "code", None)


def killed_within(caller, error, lever):
    """The frames that end a stream, as the SDK tells them."""
    assert isinstance(error, callers.RAISES_WITHIN[caller]), f"{type(error).__name__}: {error}"
    assert f"(ref {lever})" in str(error), str(error)
    if caller in ("openai-chat", "openai-responses"):
        assert code_of(error) == "firedoor_killed", f"code {code_of(error)!r}"
    elif caller == "gemini":
        assert code_of(error) == 403, f"code {code_of(error)!r}"


def killed_at_once(caller, error, lever):
    assert callers.is_raised(caller, error, 400), f"{type(error).__name__}: {error}"
    assert f"(ref {lever})" in str(error), str(error)
    if caller in ("openai-chat", "openai-responses"):
        assert code_of(error) == "firedoor_killed", f"code {code_of(error)!r}"


def cut_and_lifted(stage, case, tape, source, caller, how):
    model = f"{source}-m-cut-{caller}-{how}"
    gate = threading.Event()
    half = max(2, len(tape.play.pieces) // 2)
    stage.provider.stage(model, dataclasses.replace(tape.play, gates={half: gate}))
    name = f"{source} for {caller}, {how}: killed half way"
    lever = None

    def cut():
        nonlocal lever
        tap = stage.tap("open")
        asking = Asking(caller, tap.address, model, how)
        assert tap.answered.wait(theatre.PATIENCE_SECONDS), f"no answer began: {asking.error}"
        try:
            lever = stage.shell.cut(f"model:{model}")
        finally:
            error = asking.error if lever is None else asking.raised()
            gate.set()
        killed_within(caller, error, lever)
        assert tap.requests == 1, f"{tap.requests} requests"

    def sticky():
        for again in ("whole", how):
            tap = stage.tap("open")
            killed_at_once(caller, Asking(caller, tap.address, model, again).raised(), lever)
            assert tap.requests == 1, f"{tap.requests} requests"
        assert len(stage.provider.asked(model)) == 1, "the provider was asked"

    def works():
        stage.shell.lift(f"model:{model}")
        told = callers.ASK[caller](stage.addresses["open"], model, how)
        assert told.text == tape.told.text, f"{told.text!r} instead of {tape.told.text!r}"

    case(name, cut)
    case(f"{name}, asked again", sticky)
    case(f"{name}, lifted", works)


def tools(caller, names):
    """A request that declares these."""
    names = sorted(names)
    return {
        "openai-chat": lambda: {"tools": [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in names]},
        "openai-responses": lambda: {
            "tools": [{"type": "function", "name": name, "parameters": SCHEMA, "strict": False} for name in names]},
        "anthropic": lambda: {"tools": [{"name": name, "input_schema": SCHEMA} for name in names]},
        "gemini": lambda: {"config": genai_types.GenerateContentConfig(
            tools=[genai_types.Tool(function_declarations=[
                genai_types.FunctionDeclaration(name=name, parameters_json_schema=SCHEMA) for name in names])])},
        "bedrock": lambda: {"toolConfig": {"tools": [
            {"toolSpec": {"name": name, "inputSchema": {"json": SCHEMA}}} for name in names]}},
    }[caller]()


def one_tool(stage, case, tape, source, who, ask):
    """Of two tools one is killed. The model calls both all the same. `ask` takes an address, a model and names of tools."""
    killed = tape.told.calls[0][0]
    names = tapes.tools_called(tape.told)
    model = f"{source}-m-tool-{re.sub('[^a-z]+', '-', who.lower())}"
    stage.provider.stage(model, tape.play)

    def check():
        scope = f"tool:{killed}+model:{model}"
        stage.shell.kill(scope)
        tap = stage.tap("open")
        told = ask(tap.address, model, names)
        left = [call for call in tape.told.calls if call[0] != killed]
        assert told.calls == left, f"calls: {told.calls!r} instead of {left!r}"
        assert (told.text, told.stop) == (tape.told.text, "tools"), (told.text, told.stop)
        assert tap.requests == 1, f"{tap.requests} requests"
        asked = stage.provider.asked(model)
        assert len(asked) == 1, f"the provider was asked {len(asked)} times"
        body = asked[0][2]
        bodies.VALID[source](body)
        declared = bodies.SAID[source](body)["tools"]
        assert set(declared) == names - {killed}, f"declared: {sorted(declared)}"
        stage.shell.lift(scope)
        told = ask(stage.addresses["open"], model, names)
        assert told.calls == tape.told.calls, f"after the lift: {told.calls!r}"

    case(f"{source} for {who}: one of two tools killed, {tape.name}", check)


def two_tools(suite, source, hows):
    """For each way to get an answer one that calls two tools."""
    for how in hows:
        kind = tapes.WHOLE if how == "whole" else tapes.STREAM
        yield how, next(tape for tape in suite.tapes[source] if (tape.kind, tape.has) == (kind, "two tools"))


def run(stage, suite, caller):
    for source in tapes.PROVIDERS:
        case = suite.case_of("levers", source, caller)
        stream = suite.stream_of(source)
        for how in callers.HOW[caller]:
            cut_and_lifted(stage, case, stream, source, caller, how)
        for how, tape in two_tools(suite, source, ("whole", *callers.HOW[caller])):
            def ask(at, model, names):
                return callers.ASK[caller](at, model, how, **tools(caller, names))

            one_tool(stage, case, tape, source, f"{caller}, {how}", ask)
