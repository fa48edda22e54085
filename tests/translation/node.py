"""The Node SDKs, in a process of their own: they read other dialects' answers, and stop under levers."""

import dataclasses
import itertools
import json
import os
import pathlib
import queue
import subprocess
import threading

import levers
import tapes

# Each speaks one dialect.
CLIENTS = {
    "openai chat": "openai-chat", "openai responses": "openai-responses", "anthropic": "anthropic", "@google/genai": "gemini",
    "ai, openai": "openai-responses", "ai, openai chat": "openai-chat", "ai, anthropic": "anthropic",
}


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

    def ask(self, client, address, model):
        """Where the answer of one call will be."""
        answers = queue.Queue()
        with self.lock:
            number = next(self.numbers)
            self.waiting[number] = answers
            self.process.stdin.write(json.dumps({"number": number, "client": client, "address": address, "model": model}) + "\n")
            self.process.stdin.flush()
        return answers


def got(answers):
    return answers.get(timeout=levers.PATIENCE_SECONDS)


def reads(node, stage, case, tape, client):
    def check():
        model = stage.model(tape.dialect, tape.play)
        answer = got(node.ask(client, stage.addresses["open"], model))
        assert "told" in answer, answer["error"]
        told = answer["told"]
        calls = [tuple(call) for call in told["calls"]]
        assert (told["text"], calls) == (tape.told.text, tape.told.calls), f"{told} instead of {tape.told}"

    case(f"{tape.dialect} for {client} (Node): {tape.has}, {tape.name}", check)


def stops(node, stage, case, shell, tape, client):
    model = f"{tape.dialect}-m-node-{client.replace(' ', '').replace(',', '-').strip('@').replace('/', '-')}"
    gate = threading.Event()
    stage.provider.stage(model, dataclasses.replace(tape.play, gates={max(2, len(tape.play.pieces) // 2): gate}))
    name = f"{tape.dialect} for {client} (Node): killed half way"

    def check():
        tap = stage.tap("open")
        answers = node.ask(client, tap.address, model)
        assert tap.answered.wait(levers.PATIENCE_SECONDS), "no answer began"
        try:
            lever = shell.kill(f"model:{model}")
            answer = got(answers)
        finally:
            gate.set()
        assert f"(ref {lever})" in answer.get("error", {}).get("message", ""), answer
        assert tap.requests == 1, f"{tap.requests} requests"
        tap = stage.tap("open")
        answer = got(node.ask(client, tap.address, model))
        assert f"(ref {lever})" in answer.get("error", {}).get("message", ""), f"asked again: {answer}"
        assert tap.requests == 1, f"asked again: {tap.requests} requests"
        shell.lift(f"model:{model}")
        answer = got(node.ask(client, stage.addresses["open"], model))
        assert answer.get("told", {}).get("text") == tape.told.text, f"lifted: {answer}"

    case(f"{name}, asked again, lifted", check)


def run(node, stage, suite, client):
    shell = levers.Shell(stage.gateways["open"])
    for source in tapes.PROVIDERS:
        case = suite.case_of("node" if source != CLIENTS[client] else "node, own", source, client)
        if source != CLIENTS[client]:
            seen = set()
            if CLIENTS[client] == "openai-chat":
                # They cannot put such streams together, their own provider's included.
                seen.add(tapes.FREE_TEXT)
            for tape in suite.tapes[source]:
                # Helpers raise on answers that were stopped for their length or their content.
                if tape.kind == tapes.STREAM and tape.has not in {*seen, "cut at the length", "filtered"}:
                    seen.add(tape.has)
                    reads(node, stage, case, tape, client)
        stops(node, stage, case, shell, suite.stream_of(source), client)
