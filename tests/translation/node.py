"""The Node SDKs, in a process of their own: they read other dialects' answers, stop under levers, and do without killed tools."""

import dataclasses
import itertools
import json
import os
import pathlib
import queue
import subprocess
import threading

import callers
import levers
import stage as theatre
import tapes

# Each speaks one dialect, and gets its answers in these ways; in the last one where it does not matter.
CLIENTS = {
    "openai chat": ("openai-chat", ("whole", "stream", "helper")), "openai responses": ("openai-responses", ("whole", "stream", "helper")),
    "anthropic": ("anthropic", ("whole", "stream", "helper")), "@google/genai": ("gemini", ("whole", "stream")),
    "ai, openai": ("openai-responses", ("whole", "stream")), "ai, openai chat": ("openai-chat", ("whole", "stream")),
    "ai, anthropic": ("anthropic", ("whole", "stream")), "ai, openai-compatible": ("openai-chat", ("whole", "stream")),
}
# The AI SDK has its own.
WORDS = {"tool-calls": "tool_calls", "content-filter": "content_filter"}


class Node:
    """Use as a context manager."""

    def __enter__(self):
        script = pathlib.Path(__file__).with_name("node_callers.mjs")
        self.process = subprocess.Popen(["node", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lock, self.numbers, self.waiting = threading.Lock(), itertools.count(), {}
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)

    def _read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            self.waiting.pop(answer["number"]).put(answer)

    def ask(self, client, address, model, how=None, names=()):
        """Where the answer of one call will be."""
        answers = queue.Queue()
        with self.lock:
            number = next(self.numbers)
            self.waiting[number] = answers
            asked = {
                "number": number, "client": client, "how": how or CLIENTS[client][1][-1], "address": address, "model": model,
                "tools": sorted(names)}
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
        return answers


def got(answers):
    return answers.get(timeout=theatre.PATIENCE_SECONDS)


def told_by(answers):
    answer = got(answers)
    assert "told" in answer, answer["error"]
    told = callers.Told(text=answer["told"]["text"], calls=[tuple(call) for call in answer["told"]["calls"]])
    word = answer["told"]["stop"]
    told.stop = callers.stop_of(WORDS.get(word, word), told.calls)
    return told


def reads(node, stage, case, tape, client):
    def check():
        model = stage.model(tape.dialect, tape.play)
        told = told_by(node.ask(client, stage.addresses["open"], model))
        assert (told.text, told.calls) == (tape.told.text, tape.told.calls), f"{told} instead of {tape.told}"

    case(f"{tape.dialect} for {client} (Node): {tape.has}, {tape.name}", check)


def stops(node, stage, case, tape, client):
    model = f"{tape.dialect}-m-node-{client.replace(' ', '').replace(',', '-').strip('@').replace('/', '-')}"
    gate = threading.Event()
    stage.provider.stage(model, dataclasses.replace(tape.play, gates={max(2, len(tape.play.pieces) // 2): gate}))
    name = f"{tape.dialect} for {client} (Node): killed half way"

    def check():
        tap = stage.tap("open")
        answers = node.ask(client, tap.address, model)
        assert tap.answered.wait(theatre.PATIENCE_SECONDS), "no answer began"
        try:
            lever = stage.shell.cut(f"model:{model}")
            answer = got(answers)
        finally:
            gate.set()
        assert f"(ref {lever})" in answer.get("error", {}).get("message", ""), answer
        assert tap.requests == 1, f"{tap.requests} requests"
        tap = stage.tap("open")
        answer = got(node.ask(client, tap.address, model))
        assert f"(ref {lever})" in answer.get("error", {}).get("message", ""), f"asked again: {answer}"
        assert tap.requests == 1, f"asked again: {tap.requests} requests"
        stage.shell.lift(f"model:{model}")
        told = told_by(node.ask(client, stage.addresses["open"], model))
        assert told.text == tape.told.text, f"lifted: {told}"

    case(f"{name}, asked again, lifted", check)


def run(node, stage, suite, client):
    dialect, hows = CLIENTS[client]
    for source in tapes.PROVIDERS:
        case = suite.case_of("node" if source != dialect else "node, own", source, client)
        if source != dialect:
            # Clients of Chat cannot put streams with free text together, their own provider's included.
            seen = {tapes.FREE_TEXT} if dialect == "openai-chat" else set()
            for tape in suite.tapes[source]:
                # Helpers raise on answers that were stopped for their length or their content.
                if tape.kind == tapes.STREAM and tape.has not in {*seen, "cut at the length", "filtered"}:
                    seen.add(tape.has)
                    reads(node, stage, case, tape, client)
        stops(node, stage, case, suite.stream_of(source), client)
        for how, tape in levers.two_tools(suite, source, hows):
            def ask(at, model, names):
                return told_by(node.ask(client, at, model, how, names))

            levers.one_tool(stage, case, tape, source, f"{client} (Node), {how}", ask)
