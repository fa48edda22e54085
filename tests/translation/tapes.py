"""Which recorded answers are played, chosen by what is in them; and answers that nobody recorded.

What a recording says is what its own dialect's SDK reads in it, asked directly. So nothing here
reads an answer a second time: SDK is compared with SDK.
"""

import binascii
import dataclasses
import json
import struct

import callers
import upstream
from stage import RECORDINGS

FOLDERS = {
    "openai-chat": ["openai-chat"], "anthropic": ["anthropic-messages"], "gemini": ["gemini-generatecontent"],
    "bedrock": ["bedrock-converse", "bedrock-converse-stream"],
}
PROVIDERS = list(FOLDERS)
# How many recordings of each kind are played.
OF_EACH = 8
BYTES_MAX = 60_000
# What has no meaning in other dialects, or is no answer of its dialect.
LEFT_OUT = {
    "n>1", "audio", "error-object-in-stream", "error-event", "error-object", "not-json", "legacy-function-call", "completion-text",
    "gem-no-content", "gem-prompt-feedback", "gem-finish:UNEXPECTED_TOOL_CALL", "finish:eos", "gem:toolCall",
}
WANTED = ("text", "reasoning", "one call", "calls at once", "two tools", "text and call", "cut at the length", "filtered")
PARTS = [
    {"text": "Both now."}, {"functionCall": {"name": "weather", "args": {"city": "Paris"}}},
    {"functionCall": {"name": "clock", "args": {"city": "Oslo"}}}]
USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 9, "totalTokenCount": 16}


def candidate(parts, **more):
    return {"candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, **more}], "modelVersion": "m", "responseId": "r-1"}


# Answers with calls to two tools, where nobody recorded one: a body, or the events of a stream.
UNRECORDED = {
    "gemini": [
        candidate(PARTS, finishReason="STOP") | {"usageMetadata": USAGE},
        [candidate(PARTS[:1]), candidate(PARTS[1:]), candidate([], finishReason="STOP") | {"usageMetadata": USAGE}]],
    "bedrock": [{
        "output": {"message": {"role": "assistant", "content": [
            {"text": "Both now."}, {"toolUse": {"toolUseId": "tooluse_1", "name": "weather", "input": {"city": "Paris"}}},
            {"toolUse": {"toolUseId": "tooluse_2", "name": "clock", "input": {"city": "Oslo"}}}]}},
        "stopReason": "tool_use", "usage": {"inputTokens": 7, "outputTokens": 9, "totalTokens": 16}, "metrics": {"latencyMs": 5},
    }],
}


@dataclasses.dataclass
class Tape:
    dialect: str
    name: str
    kind: str
    has: str
    play: upstream.Play
    told: callers.Told


def cut(dialect, body):
    """A stream in frames, so that none waits for another."""
    if dialect == "bedrock":
        frames = []
        while body:
            length = struct.unpack(">I", body[:4])[0]
            frames.append(body[:length])
            body = body[length:]
        return frames
    end = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    return [frame + end for frame in body.split(end) if frame.strip()]


def own(dialect):
    """The provider whose dialect it is."""
    return "openai" if dialect == "openai-chat" else dialect


def recorded(dialect):
    """What is told of a dialect's recordings; its own provider's first, and the small ones."""
    found = []
    for folder in FOLDERS[dialect]:
        for path in (RECORDINGS / folder).glob("*.meta.json"):
            meta = json.loads(path.read_text())
            meta["path"] = path.with_name(meta["body_file"])
            found.append(meta)
    return sorted(found, key=lambda meta: (meta["provider"] != own(dialect), meta["bytes"], meta["id"]))


def what_is_in(told):
    if told.stop == "length":
        return "cut at the length"
    if told.stop == "filter":
        return "filtered"
    if len(told.calls) > 1:
        return "two tools" if len({name for name, _ in told.calls}) > 1 else "calls at once"
    if told.calls:
        return "text and call" if told.text.strip() else "one call"
    return "reasoning" if told.reasoning else "text"


def choose(dialect, provider):
    """The first recordings of each kind that the dialect's own SDK reads from `provider`."""
    full = {}
    for meta in recorded(dialect):
        if meta["kind"] == "err" or LEFT_OUT & set(meta["features"]) or meta["bytes"] > BYTES_MAX:
            continue
        kind = meta["kind"]
        if all(full.get((kind, has), 0) >= OF_EACH for has in WANTED):
            continue
        body = meta["path"].read_bytes()
        is_stream = kind == "stream"
        content_type = meta["content_type"] or ("text/event-stream" if is_stream else "application/json")
        play = upstream.Play(200, content_type, cut(dialect, body) if is_stream else [body], is_stream=is_stream)
        model = provider.stage(f"{dialect}-direct-{meta['id'][-6:]}", play)
        try:
            told = callers.ASK[dialect](provider.address, model, "stream" if is_stream else "whole")
        except Exception:  # noqa: BLE001 - what its own SDK cannot read is no measure for others
            continue
        if not all(name for name, _ in told.calls):
            # Gemini's calls with arguments that come by path, which no other dialect has.
            continue
        has = what_is_in(told)
        if not told.stop or told.stop == "None" or (not told.text and not told.calls and has != "filtered"):
            continue
        if full.get((kind, has), 0) < OF_EACH:
            full[kind, has] = full.get((kind, has), 0) + 1
            yield Tape(dialect, meta["id"], kind, has, play, told)
    for answer in UNRECORDED.get(dialect, []):
        is_stream = isinstance(answer, list)
        play = upstream.Play.whole(answer)
        if is_stream:
            events = [f"data: {json.dumps(event)}\n\n".encode() for event in answer]
            play = upstream.Play(200, "text/event-stream", events, is_stream=True)
        kind, how = ("stream", "stream") if is_stream else ("unary", "whole")
        told = callers.ASK[dialect](provider.address, provider.stage(f"{dialect}-direct-{kind}", play), how)
        yield Tape(dialect, "unrecorded", kind, what_is_in(told), play, told)


def errors(dialect):
    """A recorded error for each status, and what no recording has; with its message."""
    seen = {}
    for meta in recorded(dialect):
        if meta["kind"] == "err" and meta["status"] not in seen:
            body = meta["path"].read_bytes()
            message = message_of(body)
            if message:
                headers = {name: value for name, value in meta["response_headers"].items() if name.startswith("x-amzn")}
                seen[meta["status"]] = (upstream.Play.whole(body, meta["status"], headers), message)
    for status in (401, 403, 429, 500, 503):
        if status not in seen:
            message = f"said with {status}"
            body, headers = error_body(dialect, status, message)
            seen[status] = (upstream.Play.whole(body, status, headers), message)
    return {status: told for status, told in seen.items() if status in callers.RAISES[dialect]}


def message_of(body):
    try:
        value = json.loads(body)
    except ValueError:
        return None
    value = value[0] if isinstance(value, list) else value
    error = value.get("error", value)
    return error.get("message") if isinstance(error, dict) else None


def error_body(dialect, status, message):
    words = {
        "openai-chat": {"error": {"message": message, "type": "an_error", "param": None, "code": None}},
        "anthropic": {"type": "error", "error": {"type": "api_error", "message": message}},
        "gemini": {"error": {"code": status, "message": message, "status": "UNKNOWN"}},
        "bedrock": {"message": message},
    }
    headers = {"x-amzn-errortype": callers.RAISES["bedrock"][status]} if dialect == "bedrock" else {}
    return words[dialect], headers


def message_frame(headers, payload):
    """A message of Amazon's event stream."""
    packed = b"".join(
        struct.pack("B", len(name)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    head = prelude + struct.pack(">I", binascii.crc32(prelude)) + packed + payload
    return head + struct.pack(">I", binascii.crc32(head))


def error_frame(dialect, message):
    """A provider's error inside a stream."""
    if dialect == "bedrock":
        headers = {":exception-type": "throttlingException", ":content-type": "application/json", ":message-type": "exception"}
        return message_frame(headers, json.dumps({"message": message}).encode())
    data = json.dumps(error_body(dialect, 503, message)[0])
    return f"{'event: error' + chr(10) if dialect == 'anthropic' else ''}data: {data}\n\n".encode()


def broken(tape, message):
    """A stream that its provider ends half way: with an error, or with nothing."""
    half = tape.play.pieces[: max(2, len(tape.play.pieces) // 2)]
    more = [error_frame(tape.dialect, message)] if message else []
    return dataclasses.replace(tape.play, pieces=half + more)
