"""Bodies of requests as a provider gets them: whether they are valid, and what they say.

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
import openai.types.responses.response_create_params as response_params
import pydantic
import typing_extensions
from google.genai import types as genai_types

import callers


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


def valid_responses(body):
    kinds = response_params.ResponseCreateParamsStreaming, response_params.ResponseCreateParamsNonStreaming
    fits(body, kinds[0] if body.get("stream") else kinds[1])


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


VALID = {
    "openai-chat": valid_chat, "openai-responses": valid_responses, "anthropic": valid_messages, "gemini": valid_generate,
    "bedrock": valid_converse,
}


# ---- what a body says -----------------------------------------------------------------------------------------------


def nothing():
    return {"system": "", "results": [], "calls": [], "texts": "", "images": [], "documents": []}


def said_chat(body):
    system = [message for message in body["messages"] if message["role"] in ("system", "developer")]
    rest = [message for message in body["messages"] if message not in system]
    said = {**nothing(), "system": "".join(_texts(message["content"]) for message in system)}
    for message in rest:
        if message["role"] == "tool":
            said["results"].append((message["tool_call_id"], _texts(message["content"])))
            continue
        for call in message.get("tool_calls") or []:
            said["calls"].append((call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])))
        content = message.get("content")
        said["texts"] += _texts(content)
        parts = [] if isinstance(content, str | None) else content
        said["images"] += [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        said["documents"] += [part["file"]["file_data"] for part in parts if part["type"] == "file"]
    said["tools"] = {tool["function"]["name"]: tool["function"].get("parameters") for tool in body.get("tools", [])}
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    stop = body.get("stop") or []
    said["sampling"] = limit, body.get("temperature"), [stop] if isinstance(stop, str) else stop
    said["schema"] = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    return said


def _texts(content):
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])


def said_responses(body):
    said = {**nothing(), "system": body.get("instructions") or ""}
    items = body["input"]
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        kind = item.get("type", "message")
        if kind == "function_call":
            said["calls"].append((item["call_id"], item["name"], json.loads(item["arguments"])))
        elif kind == "function_call_output":
            said["results"].append((item["call_id"], _texts(item["output"])))
        else:
            assert kind == "message", item
            said["system" if item["role"] in ("system", "developer") else "texts"] += _texts(item["content"])
            parts = [] if isinstance(item["content"], str) else item["content"]
            said["images"] += [part["image_url"] for part in parts if part["type"] == "input_image"]
            said["documents"] += [part["file_data"] for part in parts if part["type"] == "input_file"]
    said["tools"] = {tool["name"]: tool["parameters"] for tool in body.get("tools", [])}
    said["sampling"] = body.get("max_output_tokens"), body.get("temperature"), []
    said["schema"] = body.get("text", {}).get("format", {}).get("schema")
    return said


def said_messages(body):
    said = {**nothing(), "system": _texts(body.get("system"))}
    for message in body["messages"]:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if block["type"] == "text":
                said["texts"] += block["text"]
            elif block["type"] in ("image", "document"):
                said[f"{block['type']}s"].append(f"data:{block['source']['media_type']};base64,{block['source']['data']}")
            elif block["type"] == "tool_use":
                said["calls"].append((block["id"], block["name"], block["input"]))
            elif block["type"] == "tool_result":
                said["results"].append((block["tool_use_id"], _texts(block["content"])))
    said["tools"] = {tool["name"]: tool["input_schema"] for tool in body.get("tools", [])}
    said["sampling"] = body["max_tokens"], body.get("temperature"), body.get("stop_sequences") or []
    said["schema"] = body.get("output_config", {}).get("format", {}).get("schema")
    return said


def said_generate(body):
    said = {**nothing(), "system": _texts(body.get("systemInstruction", {}).get("parts"))}
    for content in body["contents"]:
        for part in content["parts"]:
            said["texts"] += part.get("text", "")
            if inline := part.get("inlineData"):
                kind = "images" if inline["mimeType"].startswith("image/") else "documents"
                said[kind].append(f"data:{inline['mimeType']};base64,{inline['data']}")
            if call := part.get("functionCall"):
                said["calls"].append((call.get("id"), call["name"], call["args"]))
            if result := part.get("functionResponse"):
                # The result is an object here; text stands in a member of it.
                [text] = result["response"].values()
                assert result["name"], result
                said["results"].append((result.get("id"), text))
    said["tools"] = {
        function["name"]: function.get("parametersJsonSchema", function.get("parameters"))
        for tool in body.get("tools", []) for function in tool["functionDeclarations"]}
    config = body.get("generationConfig", {})
    said["sampling"] = config.get("maxOutputTokens"), config.get("temperature"), config.get("stopSequences") or []
    said["schema"] = config.get("responseJsonSchema", config.get("responseSchema"))
    return said


def said_converse(body):
    said = {**nothing(), "system": _texts(body.get("system"))}
    for message in body["messages"]:
        for block in message["content"]:
            said["texts"] += block.get("text", "")
            if image := block.get("image"):
                said["images"].append(f"data:image/{image['format']};base64,{image['source']['bytes']}")
            if document := block.get("document"):
                said["documents"].append(f"data:application/{document['format']};base64,{document['source']['bytes']}")
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


SAID = {
    "openai-chat": said_chat, "openai-responses": said_responses, "anthropic": said_messages, "gemini": said_generate,
    "bedrock": said_converse,
}
