"""Which recorded answers are played, chosen by what is in them; and answers that nobody recorded.

What a recording says is what its own dialect's SDK reads in it, asked directly. So nothing here
reads an answer a second time: SDK is compared with SDK. A recording that is left out is said with
the reason, and `LEAST` holds how many must remain.
"""

import binascii
import dataclasses
import json
import struct

import callers
import upstream
from stage import RECORDINGS

FOLDERS = {
    "openai-chat": ["openai-chat"], "openai-responses": ["openai-responses"], "anthropic": ["anthropic-messages"],
    "gemini": ["gemini-generatecontent"], "bedrock": ["bedrock-converse", "bedrock-converse-stream"],
}
PROVIDERS = list(FOLDERS)
STREAM, WHOLE = "stream", "unary"
# How many recordings of each dialect are played at least, as streams and whole.
LEAST = {
    "openai-chat": {STREAM: 41, WHOLE: 46}, "openai-responses": {STREAM: 30, WHOLE: 26}, "anthropic": {STREAM: 22, WHOLE: 19},
    "gemini": {STREAM: 22, WHOLE: 15}, "bedrock": {STREAM: 19, WHOLE: 14},
}
# How many recordings of each kind are played.
OF_EACH = 8
BYTES_MAX = 60_000
# What has no meaning in other dialects, or is no answer of its dialect.
LEFT_OUT = {
    "n>1", "audio", "error-object-in-stream", "error-event", "error-object", "not-json", "legacy-function-call", "completion-text",
    "gem-no-content", "gem-prompt-feedback", "gem-finish:UNEXPECTED_TOOL_CALL", "finish:eos", "gem:toolCall",
}
PARTS = [
    {"text": "Both now."}, {"functionCall": {"name": "weather", "args": {"city": "Paris"}}},
    {"functionCall": {"name": "clock", "args": {"city": "Oslo"}}}]
USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 9, "totalTokenCount": 16}


def candidate(parts, **more):
    return {"candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, **more}], "modelVersion": "m", "responseId": "r-1"}


# Answers with calls to two tools, where nobody recorded one: a body, or the events of a stream.
UNRECORDED = {
    "openai-responses": [{
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True, "temperature": 1.0,
        "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "output": [
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "text": "Both now.", "annotations": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": '{"city": "Paris"}', "status": "completed"},
            {"type": "function_call", "id": "fc_2", "call_id": "call_2", "name": "clock", "arguments": '{"city": "Oslo"}', "status": "completed"}],
        "usage": {
            "input_tokens": 7, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 16},
    }],
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
    return "openai" if dialect.startswith("openai-") else dialect


def recorded(dialect):
    """What is told of a dialect's recordings; its own provider's first, and the small ones."""
    found = []
    for folder in FOLDERS[dialect]:
        for path in (RECORDINGS / folder).glob("*.meta.json"):
            meta = json.loads(path.read_text())
            meta["path"] = path.with_name(meta["body_file"])
            found.append(meta)
    return sorted(found, key=lambda meta: (meta["provider"] != own(dialect), meta["bytes"], meta["id"]))


FREE_TEXT = "call with free text"


def what_is_in(told):
    if told.stop == "length":
        return "cut at the length"
    if told.stop == "filter":
        return "filtered"
    if told.has_free_text:
        return FREE_TEXT
    if len(told.calls) > 1:
        return "two tools" if len(tools_called(told)) > 1 else "calls at once"
    if told.calls:
        return "text and call" if told.text.strip() else "one call"
    return "reasoning" if told.reasoning else "text"


def tools_called(told):
    return {name for name, _ in told.calls}


def reason_against(told):
    """Why an answer is not played to others, if it is not."""
    if not all(tools_called(told)):
        # Gemini's calls with arguments that come by path, which no other dialect has.
        return "a call without a name"
    if not told.stop or told.stop == "None":
        return "it does not say why it stopped"
    if not told.text and not told.calls and what_is_in(told) != "filtered":
        return "it says nothing"
    return None


def choose(dialect, provider):
    """The first recordings of each kind that the dialect's own SDK reads from `provider`, and what nobody recorded."""
    full = {}

    def ask(name, play, kind):
        model = provider.stage(f"{dialect}-direct-{name[-6:]}", play)
        return callers.ASK[dialect](provider.address, model, "stream" if kind == STREAM else "whole")

    def left_out(meta, why):
        print(f"-- left out: {meta['id']}: {why}", flush=True)

    for meta in recorded(dialect):
        if meta["kind"] == "err":
            continue
        if features := sorted(LEFT_OUT & set(meta["features"])):
            left_out(meta, f"it has {', '.join(features)}")
            continue
        if meta["bytes"] > BYTES_MAX:
            left_out(meta, f"{meta['bytes']} bytes")
            continue
        kind = meta["kind"]
        body = meta["path"].read_bytes()
        is_stream = kind == STREAM
        content_type = meta["content_type"] or ("text/event-stream" if is_stream else "application/json")
        play = upstream.Play(200, content_type, cut(dialect, body) if is_stream else [body], is_stream=is_stream)
        try:
            told = ask(meta["id"], play, kind)
        except Exception as error:  # noqa: BLE001 - what its own SDK cannot read is no measure for others
            left_out(meta, f"its own SDK cannot read it: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
            continue
        if why := reason_against(told):
            left_out(meta, why)
            continue
        has = what_is_in(told)
        if full.get((kind, has), 0) < OF_EACH:
            full[kind, has] = full.get((kind, has), 0) + 1
            yield Tape(dialect, meta["id"], kind, has, play, told)
    for answer in UNRECORDED.get(dialect, []):
        kind, play = WHOLE, upstream.Play.whole(answer)
        if isinstance(answer, list):
            events = [f"data: {json.dumps(event)}\n\n".encode() for event in answer]
            kind, play = STREAM, upstream.Play(200, "text/event-stream", events, is_stream=True)
        told = ask(f"un-{kind}", play, kind)
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
        "openai-responses": {"error": {"message": message, "type": "an_error", "param": None, "code": None}},
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


def error_frames(dialect, message):
    """The ways in which a provider says an error inside a stream, each with its name."""
    if dialect == "bedrock":
        headers = {":exception-type": "throttlingException", ":content-type": "application/json", ":message-type": "exception"}
        return {"an exception": message_frame(headers, json.dumps({"message": message}).encode())}
    if dialect == "openai-responses":
        said = {"code": "server_error", "message": message}
        failed = {"id": "resp_1", "object": "response", "created_at": 1, "status": "failed", "model": "m", "output": [], "error": said}
        return {
            "an error": event_frame("error", {"sequence_number": 99, "param": None, **said}),
            "a failed response": event_frame("response.failed", {"sequence_number": 99, "response": failed}),
        }
    data = json.dumps(error_body(dialect, 503, message)[0])
    return {"an error": f"{'event: error' + chr(10) if dialect == 'anthropic' else ''}data: {data}\n\n".encode()}


def event_frame(name, members):
    return f"event: {name}\ndata: {json.dumps({'type': name, **members})}\n\n".encode()


def broken(tape, *more):
    """A stream that its provider ends half way: with these frames, or with nothing."""
    half = tape.play.pieces[: max(2, len(tape.play.pieces) // 2)]
    return dataclasses.replace(tape.play, pieces=[*half, *more])
