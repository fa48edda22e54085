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
        return "calls at once"
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
    """The first recordings of each kind that the dialect's own SDK reads from `provider`. Among the streams, and among the whole
    answers, is one that calls several tools; what nobody recorded of that is put together from recordings."""
    full, with_tools, with_one = {}, {}, {}

    def ask(name, play, how):
        return callers.ASK[dialect](provider.address, provider.stage(f"{dialect}-direct-{name[-6:]}", play), how)

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
            told = ask(meta["id"], play, "stream" if is_stream else "whole")
        except Exception as error:  # noqa: BLE001 - what its own SDK cannot read is no measure for others
            left_out(meta, f"its own SDK cannot read it: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
            continue
        if why := reason_against(told):
            left_out(meta, why)
            continue
        has = what_is_in(told)
        is_first_with_tools = len(tools_called(told)) > 1 and kind not in with_tools
        if full.get((kind, has), 0) < OF_EACH or is_first_with_tools:
            full[kind, has] = full.get((kind, has), 0) + 1
            tape = Tape(dialect, meta["id"], kind, has, play, told)
            if is_first_with_tools:
                with_tools[kind] = tape
            if kind == STREAM and len(told.calls) == 1:
                with_one.setdefault(told.calls[0][0], tape)
            yield tape

    def made(kind, play, name):
        told = ask(f"{name}-{kind}", play, "stream" if kind == STREAM else "whole")
        assert len(tools_called(told)) > 1, told
        return Tape(dialect, f"{name}, put together", kind, what_is_in(told), play, told)

    if STREAM not in with_tools:
        one, other, *_ = with_one.values()
        with_tools[STREAM] = made(STREAM, both_calls(one, other), one.name)
        yield with_tools[STREAM]
    if WHOLE not in with_tools:
        stream = with_tools[STREAM]
        yield made(WHOLE, upstream.Play.whole(put_together(stream)), stream.name)


def both_calls(one, other):
    """The stream of one, with the call of another behind its own in the same frame."""
    assert one.dialect == "gemini", f"no recorded stream of {one.dialect} calls several tools"

    def calls(frame):
        parts = frame["candidates"][0].get("content", {}).get("parts", []) if frame.get("candidates") else []
        return [part for part in parts if "functionCall" in part]

    [more] = [part for piece in other.play.pieces for part in calls(frame_of(piece))]
    pieces = []
    for piece in one.play.pieces:
        frame = frame_of(piece)
        if calls(frame):
            frame["candidates"][0]["content"]["parts"].append(more)
            piece = f"data: {json.dumps(frame)}\r\n\r\n".encode()
        pieces.append(piece)
    return dataclasses.replace(one.play, pieces=pieces)


def frame_of(piece):
    """The object in a frame of server-sent events."""
    [data] = [line[5:] for line in piece.splitlines() if line.startswith(b"data:")]
    return json.loads(data)


def put_together(tape):
    """The whole answer that a stream comes to."""
    if tape.dialect == "bedrock":
        told = tape.told
        calls = [{"toolUse": {"toolUseId": i, "name": name, "input": inside}} for i, (name, inside) in zip(told.ids, told.calls)]
        said = [{"text": told.text}] if told.text else []
        return {
            "output": {"message": {"role": "assistant", "content": said + calls}}, "stopReason": "tool_use",
            "usage": {"inputTokens": 7, "outputTokens": 9, "totalTokens": 16}, "metrics": {"latencyMs": 5}}
    frames = [frame_of(piece) for piece in tape.play.pieces]
    if tape.dialect == "openai-responses":
        # It stands in its last frame.
        return frames[-1]["response"]
    assert tape.dialect == "gemini", f"no recorded whole answer of {tape.dialect} calls several tools"
    candidates = [frame["candidates"][0] for frame in frames if frame.get("candidates")]
    parts = [part for candidate in candidates for part in candidate.get("content", {}).get("parts", [])]
    reason = next(candidate["finishReason"] for candidate in candidates if "finishReason" in candidate)
    return {**frames[-1], "candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": reason}]}


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
