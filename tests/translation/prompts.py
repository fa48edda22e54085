"""One request with much in it, from every dialect's SDK: what arrives is a valid request of the provider's dialect, and says the same.

Valid is what the provider's own SDK declares: the types of `openai` and `anthropic`, the models of `google-genai`, the service
model of `botocore`.
"""

import base64
import json
import types
import typing

import anthropic.types.message_create_params as anthropic_params
import botocore.validate
import openai.types.chat.completion_create_params as chat_params
import pydantic
import typing_extensions
from google.genai import types as genai_types

import callers
import upstream

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")
PNG_BYTES = base64.b64decode(PNG)
SYSTEM = "You are a careful helper."
QUESTION = "What is in this picture, and what is the weather in Zürich?"
CALL_ID = "call_a1B2c3D4e5"
RESULT = "18 °C, \"cloudy\""
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where."}, "unit": {"type": "string", "enum": ["c", "f"]}},
    "required": ["city"],
}
CLOCK = {"type": "object", "properties": {"zone": {"type": "string"}}}
ANSWER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
ARGUMENTS = {"city": "Zürich", "unit": "c"}
TOLD = {"city": "Zürich", "degrees": 18}
URL = f"data:image/png;base64,{PNG}"
STOP = "THE END"


# ---- the same request, as each SDK takes it -------------------------------------------------------------------------


def of_chat():
    return {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": URL}}]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": CALL_ID, "type": "function", "function": {"name": "weather", "arguments": json.dumps(ARGUMENTS)}}]},
            {"role": "tool", "tool_call_id": CALL_ID, "content": RESULT},
        ],
        "tools": [
            {"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": WEATHER}},
            {"type": "function", "function": {"name": "clock", "parameters": CLOCK}}],
        "tool_choice": "auto", "max_completion_tokens": 321, "temperature": 0.5, "stop": [STOP],
    }


def of_responses():
    return {
        "instructions": SYSTEM,
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": QUESTION}, {"type": "input_image", "image_url": URL, "detail": "auto"}]},
            {"type": "function_call", "call_id": CALL_ID, "name": "weather", "arguments": json.dumps(ARGUMENTS)},
            {"type": "function_call_output", "call_id": CALL_ID, "output": RESULT},
        ],
        "tools": [
            {"type": "function", "name": "weather", "description": "Tells it.", "parameters": WEATHER, "strict": False},
            {"type": "function", "name": "clock", "parameters": CLOCK, "strict": False}],
        "tool_choice": "auto", "max_output_tokens": 321, "temperature": 0.5,
    }


def of_messages():
    return {
        "system": SYSTEM,
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": QUESTION},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": CALL_ID, "name": "weather", "input": ARGUMENTS}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": CALL_ID, "content": RESULT}]},
        ],
        "tools": [
            {"name": "weather", "description": "Tells it.", "input_schema": WEATHER}, {"name": "clock", "input_schema": CLOCK}],
        "tool_choice": {"type": "auto"}, "max_tokens": 321, "stop_sequences": [STOP], "extra_body": {"temperature": 0.5},
    }


def of_generate():
    part = genai_types.Part
    declare = genai_types.FunctionDeclaration
    return {
        "contents": [
            genai_types.Content(role="user", parts=[part(text=QUESTION), part.from_bytes(data=PNG_BYTES, mime_type="image/png")]),
            genai_types.Content(role="model", parts=[
                part(function_call=genai_types.FunctionCall(name="weather", args=ARGUMENTS))]),
            genai_types.Content(role="user", parts=[part.from_function_response(name="weather", response={"result": RESULT})]),
        ],
        "config": genai_types.GenerateContentConfig(
            system_instruction=SYSTEM, max_output_tokens=321, temperature=0.5, stop_sequences=[STOP],
            tools=[genai_types.Tool(function_declarations=[
                declare(name="weather", description="Tells it.", parameters_json_schema=WEATHER),
                declare(name="clock", parameters_json_schema=CLOCK)])],
            tool_config=genai_types.ToolConfig(function_calling_config=genai_types.FunctionCallingConfig(mode="AUTO")),
            automatic_function_calling=genai_types.AutomaticFunctionCallingConfig(disable=True)),
    }


def of_converse():
    return {
        "system": [{"text": SYSTEM}],
        "messages": [
            {"role": "user", "content": [{"text": QUESTION}, {"image": {"format": "png", "source": {"bytes": PNG_BYTES}}}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": CALL_ID, "name": "weather", "input": ARGUMENTS}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": CALL_ID, "content": [{"text": RESULT}]}}]},
        ],
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "weather", "description": "Tells it.", "inputSchema": {"json": WEATHER}}},
                {"toolSpec": {"name": "clock", "inputSchema": {"json": CLOCK}}}],
            "toolChoice": {"auto": {}}},
        "inferenceConfig": {"maxTokens": 321, "temperature": 0.5, "stopSequences": [STOP]},
    }


REQUESTS = {
    "openai-chat": of_chat, "openai-responses": of_responses, "anthropic": of_messages, "gemini": of_generate, "bedrock": of_converse,
}
# Only this one has no stop sequences.
NO_STOP = {"openai-responses"}


def structured(caller):
    """An answer that is bound to a schema."""
    schema = {"name": "reading", "schema": ANSWER, "strict": True}
    return {
        "openai-chat": lambda: {"response_format": {"type": "json_schema", "json_schema": schema}},
        "openai-responses": lambda: {"text": {"format": {"type": "json_schema", **schema}}},
        "anthropic": lambda: {"output_config": {"format": {"type": "json_schema", "schema": ANSWER}}},
        "gemini": lambda: {"config": genai_types.GenerateContentConfig(
            response_mime_type="application/json", response_json_schema=ANSWER)},
        "bedrock": lambda: {"outputConfig": {"textFormat": {
            "type": "json_schema", "structure": {"jsonSchema": {"name": "reading", "schema": json.dumps(ANSWER)}}}}},
    }[caller]()


# ---- whether a body is what the provider's SDK declares -------------------------------------------------------------


def fits(value, kind, at="body"):
    """Raises where `value` is not of a declared type. Members that are not declared are refused."""
    origin, inside = typing_extensions.get_origin(kind), typing_extensions.get_args(kind)
    if origin in (typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.Annotated, typing.Annotated):
        return fits(value, inside[0], at)
    if kind in (object, typing.Any):
        return None
    if kind is None or kind is type(None):
        assert value is None, f"{at} is not null"
    elif origin is typing.Union or origin is types.UnionType:
        wrong = []
        for one in inside:
            try:
                return fits(value, one, at)
            except AssertionError as error:
                wrong.append(str(error))
        # What went wrong furthest inside is what was meant.
        raise AssertionError(max(wrong, key=lambda text: text.split(" ")[0].count(".")))
    elif origin in (typing.Literal, typing_extensions.Literal):
        assert value in inside, f"{at} is {value!r}, none of {inside}"
    elif origin in (dict, typing.Mapping) or getattr(origin, "__name__", "") == "Mapping":
        assert isinstance(value, dict), f"{at} is no object"
        for key, member in value.items():
            fits(member, inside[1], f"{at}.{key}")
    elif origin is not None and getattr(origin, "__name__", "") in ("Iterable", "list", "Sequence"):
        assert isinstance(value, list), f"{at} is no list"
        for number, member in enumerate(value):
            fits(member, inside[0], f"{at}.{number}")
    elif typing_extensions.is_typeddict(kind):
        assert isinstance(value, dict), f"{at} is no object"
        declared = typing_extensions.get_type_hints(kind)
        for key, member in value.items():
            assert key in declared, f"{at}.{key} is not declared"
            fits(member, declared[key], f"{at}.{key}")
        missing = kind.__required_keys__ - value.keys()
        assert not missing, f"{at}.{min(missing)} is missing"
    elif kind is float:
        assert isinstance(value, (int, float)) and not isinstance(value, bool), f"{at} is no number"
    else:
        assert type(value) is kind, f"{at} is {value!r}, no {kind}"
    return None


def valid_chat(body):
    fits(body, chat_params.CompletionCreateParamsStreaming if body.get("stream") else chat_params.CompletionCreateParamsNonStreaming)


# The API of older models has them; the SDK declares them no more, since newer models refuse them.
SAMPLING_OF_OLDER_MODELS = {"temperature", "top_p", "top_k"}


def valid_messages(body):
    body = {name: value for name, value in body.items() if name not in SAMPLING_OF_OLDER_MODELS}
    kinds = anthropic_params.MessageCreateParamsStreaming, anthropic_params.MessageCreateParamsNonStreaming
    fits(body, kinds[0] if body.get("stream") else kinds[1])


class Strict(pydantic.BaseModel):
    """The members of a `generateContent` body; the SDK's own models forbid what they do not declare."""

    model_config = pydantic.ConfigDict(extra="forbid")
    contents: list[genai_types.Content]
    systemInstruction: genai_types.Content | None = None
    tools: list[genai_types.Tool] | None = None
    toolConfig: genai_types.ToolConfig | None = None
    generationConfig: genai_types.GenerationConfig | None = None


def valid_generate(body):
    assert Strict.model_config["extra"] == genai_types.Content.model_config["extra"] == "forbid"
    Strict.model_validate_json(json.dumps(body))


def valid_converse(body):
    shape = callers.make_bedrock("127.0.0.1:9").meta.service_model.operation_model("Converse").input_shape
    report = botocore.validate.ParamValidator().validate({"modelId": "a-model", **_blobs(body)}, shape)
    assert not report.has_errors(), report.generate_report()


def _blobs(value):
    """The body as the SDK takes it, with bytes where JSON has base64."""
    if isinstance(value, dict):
        return {
            key: base64.b64decode(member, validate=True) if key == "bytes" and isinstance(member, str) else _blobs(member)
            for key, member in value.items()}
    return [_blobs(member) for member in value] if isinstance(value, list) else value


VALID = {"openai-chat": valid_chat, "anthropic": valid_messages, "gemini": valid_generate, "bedrock": valid_converse}


# ---- what a body says -----------------------------------------------------------------------------------------------


def said_chat(body):
    system = [message for message in body["messages"] if message["role"] in ("system", "developer")]
    rest = [message for message in body["messages"] if message not in system]
    said = {"system": "".join(_texts(message["content"]) for message in system), "results": [], "calls": [], "texts": "", "images": []}
    for message in rest:
        if message["role"] == "tool":
            said["results"].append((message["tool_call_id"], _texts(message["content"])))
            continue
        for call in message.get("tool_calls") or []:
            said["calls"].append((call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])))
        content = message.get("content")
        said["texts"] += _texts(content)
        said["images"] += [part["image_url"]["url"] for part in content or [] if isinstance(part, dict) and part["type"] == "image_url"]
    said["tools"] = {tool["function"]["name"]: tool["function"].get("parameters") for tool in body.get("tools", [])}
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    stop = body.get("stop") or []
    said["sampling"] = limit, body.get("temperature"), [stop] if isinstance(stop, str) else stop
    said["schema"] = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    return said


def _texts(content):
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])


def said_messages(body):
    said = {"system": _texts(body.get("system")), "results": [], "calls": [], "texts": "", "images": []}
    for message in body["messages"]:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if block["type"] == "text":
                said["texts"] += block["text"]
            elif block["type"] == "image":
                said["images"].append(f"data:{block['source']['media_type']};base64,{block['source']['data']}")
            elif block["type"] == "tool_use":
                said["calls"].append((block["id"], block["name"], block["input"]))
            elif block["type"] == "tool_result":
                said["results"].append((block["tool_use_id"], _texts(block["content"])))
    said["tools"] = {tool["name"]: tool["input_schema"] for tool in body.get("tools", [])}
    said["sampling"] = body["max_tokens"], body.get("temperature"), body.get("stop_sequences") or []
    said["schema"] = body.get("output_config", {}).get("format", {}).get("schema")
    return said


def said_generate(body):
    said = {"system": _texts(body.get("systemInstruction", {}).get("parts")), "results": [], "calls": [], "texts": "", "images": []}
    for content in body["contents"]:
        for part in content["parts"]:
            said["texts"] += part.get("text", "")
            if inline := part.get("inlineData"):
                said["images"].append(f"data:{inline['mimeType']};base64,{inline['data']}")
            if call := part.get("functionCall"):
                said["calls"].append((call.get("id"), call["name"], call["args"]))
            if result := part.get("functionResponse"):
                # The result is an object here; text stands in a member of it.
                [text] = result["response"].values()
                said["results"].append((result.get("id"), text))
                assert result["name"] == "weather", result
    said["tools"] = {
        function["name"]: function.get("parametersJsonSchema", function.get("parameters"))
        for tool in body.get("tools", []) for function in tool["functionDeclarations"]}
    config = body.get("generationConfig", {})
    said["sampling"] = config.get("maxOutputTokens"), config.get("temperature"), config.get("stopSequences") or []
    said["schema"] = config.get("responseJsonSchema", config.get("responseSchema"))
    return said


def said_converse(body):
    said = {"system": _texts(body.get("system")), "results": [], "calls": [], "texts": "", "images": []}
    for message in body["messages"]:
        for block in message["content"]:
            said["texts"] += block.get("text", "")
            if image := block.get("image"):
                said["images"].append(f"data:image/{image['format']};base64,{image['source']['bytes']}")
            if call := block.get("toolUse"):
                said["calls"].append((call["toolUseId"], call["name"], call["input"]))
            if result := block.get("toolResult"):
                said["results"].append((result["toolUseId"], _texts(result["content"])))
    said["tools"] = {
        tool["toolSpec"]["name"]: tool["toolSpec"]["inputSchema"]["json"] for tool in body.get("toolConfig", {}).get("tools", [])}
    config = body.get("inferenceConfig", {})
    said["sampling"] = config.get("maxTokens"), config.get("temperature"), config.get("stopSequences") or []
    schema = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema", {}).get("schema")
    said["schema"] = schema and json.loads(schema)
    return said


SAID = {"openai-chat": said_chat, "anthropic": said_messages, "gemini": said_generate, "bedrock": said_converse}
# Where a request of a dialect goes.
PATHS = {
    ("openai-chat", True): "/v1/chat/completions", ("openai-chat", False): "/v1/chat/completions",
    ("anthropic", True): "/v1/messages", ("anthropic", False): "/v1/messages",
    ("gemini", True): "/v1beta/models/{}:streamGenerateContent?alt=sse", ("gemini", False): "/v1beta/models/{}:generateContent",
    ("bedrock", True): "/model/{}/converse-stream", ("bedrock", False): "/model/{}/converse",
}


def answer(source, text):
    """A whole answer."""
    return upstream.Play.whole({
        "openai-chat": {
            "id": "c1", "object": "chat.completion", "created": 1, "model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]},
        "anthropic": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 2}},
        "gemini": {
            "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}},
        "bedrock": {
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 5}},
    }[source])


def arrived(stage, source, model, is_stream):
    [(path, headers, body)] = stage.provider.asked(model)
    assert path == PATHS[source, is_stream].format(model), path
    credentials = " ".join(value for name, value in headers.items() if name.lower() in ("authorization", "x-api-key", "x-goog-api-key"))
    assert stage_key(credentials), f"the provider's credential did not arrive: {headers}"
    assert callers.KEY not in json.dumps(headers), "the caller's credential arrived"
    VALID[source](body)
    return body


def stage_key(text):
    return "key-of-the-provider" in text


def run(stage, score, stream, source, caller):
    """`stream` is what the provider answers where one is asked for."""
    at = stage.addresses["open"]

    def much(how):
        model = stage.model(source, answer(source, "Well.") if how == "whole" else stream)
        told = callers.ASK[caller](at, model, how, **REQUESTS[caller]())
        assert told.text, told
        body = arrived(stage, source, model, how != "whole")
        said = SAID[source](body)
        stop = [] if caller in NO_STOP else [STOP]
        expected = {
            "system": SYSTEM, "texts": QUESTION, "images": [URL], "tools": {"weather": WEATHER, "clock": CLOCK},
            "sampling": (321, 0.5, stop), "schema": None,
        }
        wrong = [f"{name}: {said[name]!r} instead of {value!r}" for name, value in expected.items() if said[name] != value]
        [(call_id, name, arguments)] = said["calls"]
        [(answered_id, result)] = said["results"]
        assert not wrong, "; ".join(wrong)
        assert (name, arguments, result) == ("weather", ARGUMENTS, RESULT), (name, arguments, result)
        assert call_id == answered_id, (call_id, answered_id)
        # Gemini's callers need no ids, and what it is told may lack them.
        assert "gemini" in (source, caller) or call_id == CALL_ID, call_id

    def bound():
        model = stage.model(source, answer(source, json.dumps(TOLD)))
        told = callers.ASK[caller](at, model, "whole", **structured(caller))
        assert json.loads(told.text) == TOLD, told
        schema = SAID[source](arrived(stage, source, model, False))["schema"]
        assert schema == ANSWER, f"schema: {schema}"

    for how in ("whole", callers.HOW[caller][0]):
        score.case(f"{caller} to {source}, {how}: system, image, tools, a tool's result", lambda how=how: much(how))
    score.case(f"{caller} to {source}: an answer bound to a schema", bound)
