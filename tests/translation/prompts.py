"""Requests with much in them, from every dialect's SDK: what arrives is a valid request of the provider's dialect, and says the same."""

import base64
import json

import pydantic
from google.genai import types as genai_types

import bodies
import callers
import stage as theatre
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


# Two calls at once, with their results in the other order; and one tool must be called next.
PAIR = [("call_1", "weather", {"city": "Bern"}, "12 °C"), ("call_2", "clock", {}, "noon")]
NAMES = ("weather", "clock")


def pair_of_chat():
    calls = [{"id": i, "type": "function", "function": {"name": n, "arguments": json.dumps(a)}} for i, n, a, _ in PAIR]
    return {
        "messages": [
            {"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Both.", "tool_calls": calls},
            *({"role": "tool", "tool_call_id": i, "content": result} for i, _, _, result in reversed(PAIR))],
        "tools": [{"type": "function", "function": {"name": name, "parameters": CLOCK}} for name in NAMES],
        "tool_choice": {"type": "function", "function": {"name": "clock"}},
    }


def pair_of_responses():
    return {
        "input": [
            {"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Both."},
            *({"type": "function_call", "call_id": i, "name": n, "arguments": json.dumps(a)} for i, n, a, _ in PAIR),
            *({"type": "function_call_output", "call_id": i, "output": result} for i, _, _, result in reversed(PAIR))],
        "tools": [{"type": "function", "name": name, "parameters": CLOCK, "strict": False} for name in NAMES],
        "tool_choice": {"type": "function", "name": "clock"},
    }


def pair_of_messages():
    return {
        "messages": [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": [
                {"type": "text", "text": "Both."}, *({"type": "tool_use", "id": i, "name": n, "input": a} for i, n, a, _ in PAIR)]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": i, "content": result} for i, _, _, result in reversed(PAIR)]}],
        "tools": [{"name": name, "input_schema": CLOCK} for name in NAMES],
        "tool_choice": {"type": "tool", "name": "clock"},
    }


def pair_of_generate():
    part = genai_types.Part
    return {
        "contents": [
            genai_types.Content(role="user", parts=[part(text=QUESTION)]),
            genai_types.Content(role="model", parts=[part(text="Both."), *(
                part(function_call=genai_types.FunctionCall(id=i, name=n, args=a)) for i, n, a, _ in PAIR)]),
            genai_types.Content(role="user", parts=[
                part(function_response=genai_types.FunctionResponse(id=i, name=n, response={"result": result}))
                for i, n, _, result in reversed(PAIR)])],
        "config": genai_types.GenerateContentConfig(
            tools=[genai_types.Tool(function_declarations=[
                genai_types.FunctionDeclaration(name=name, parameters_json_schema=CLOCK) for name in NAMES])],
            tool_config=genai_types.ToolConfig(function_calling_config=genai_types.FunctionCallingConfig(
                mode="ANY", allowed_function_names=["clock"])),
            automatic_function_calling=genai_types.AutomaticFunctionCallingConfig(disable=True)),
    }


def pair_of_converse():
    return {
        "messages": [
            {"role": "user", "content": [{"text": QUESTION}]},
            {"role": "assistant", "content": [
                {"text": "Both."}, *({"toolUse": {"toolUseId": i, "name": n, "input": a}} for i, n, a, _ in PAIR)]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": i, "content": [{"text": result}]}} for i, _, _, result in reversed(PAIR)]}],
        "toolConfig": {
            "tools": [{"toolSpec": {"name": name, "inputSchema": {"json": CLOCK}}} for name in NAMES],
            "toolChoice": {"tool": {"name": "clock"}}},
    }


PAIRS = {
    "openai-chat": pair_of_chat, "openai-responses": pair_of_responses, "anthropic": pair_of_messages, "gemini": pair_of_generate,
    "bedrock": pair_of_converse,
}


def forced(source, body):
    """The tool that must be called."""
    return {
        "openai-chat": lambda: body["tool_choice"]["function"]["name"],
        "openai-responses": lambda: body["tool_choice"]["name"],
        "anthropic": lambda: body["tool_choice"]["name"],
        "gemini": lambda: " ".join(body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"]),
        "bedrock": lambda: body["toolConfig"]["toolChoice"]["tool"]["name"],
    }[source]()


REQUESTS = {
    "openai-chat": of_chat, "openai-responses": of_responses, "anthropic": of_messages, "gemini": of_generate, "bedrock": of_converse,
}
# Only this one has no stop sequences: its callers send none, and its providers are sent none.
NO_STOP = {"openai-responses"}

PDF = base64.b64encode(b"%PDF-1.4\n1 0 obj\n<< >>\nendobj\ntrailer\n<< >>\n%%EOF\n").decode()
PDF_URL = f"data:application/pdf;base64,{PDF}"


def with_document(caller):
    """A document beside the question."""
    part = genai_types.Part
    return {
        "openai-chat": lambda: {"messages": [{"role": "user", "content": [
            {"type": "text", "text": QUESTION}, {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URL}}]}]},
        "openai-responses": lambda: {"input": [{"role": "user", "content": [
            {"type": "input_text", "text": QUESTION}, {"type": "input_file", "filename": "a.pdf", "file_data": PDF_URL}]}]},
        "anthropic": lambda: {"messages": [{"role": "user", "content": [
            {"type": "text", "text": QUESTION},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}]}]},
        "gemini": lambda: {"contents": [genai_types.Content(role="user", parts=[
            part(text=QUESTION), part.from_bytes(data=base64.b64decode(PDF), mime_type="application/pdf")])]},
        "bedrock": lambda: {"messages": [{"role": "user", "content": [
            {"text": QUESTION}, {"document": {"format": "pdf", "name": "a", "source": {"bytes": base64.b64decode(PDF)}}}]}]},
    }[caller]()


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


class Reading(pydantic.BaseModel):
    """The same, as a type of the caller's own."""

    city: str
    degrees: int


def chat_parsed(at, model):
    client = callers.make_openai(at)
    answer = client.chat.completions.parse(model=model, messages=[{"role": "user", "content": QUESTION}], response_format=Reading)
    return answer.choices[0].message.parsed


def responses_parsed(at, model):
    return callers.make_openai(at).responses.parse(model=model, input=QUESTION, text_format=Reading).output_parsed


def messages_parsed(at, model):
    client = callers.make_anthropic(at)
    messages = [{"role": "user", "content": QUESTION}]
    return client.messages.parse(model=model, max_tokens=500, messages=messages, output_format=Reading).parsed_output


def generate_parsed(at, model):
    config = genai_types.GenerateContentConfig(response_mime_type="application/json", response_schema=Reading)
    client = callers.make_genai(at)
    return client.models.generate_content(model=model, contents=QUESTION, config=config).parsed


# boto3 knows no types.
PARSED = {"openai-chat": chat_parsed, "openai-responses": responses_parsed, "anthropic": messages_parsed, "gemini": generate_parsed}


# ---- what arrived ----------------------------------------------------------------------------------------------------

# Where a request of a dialect goes.
PATHS = {
    ("openai-chat", True): "/v1/chat/completions", ("openai-chat", False): "/v1/chat/completions",
    ("openai-responses", True): "/v1/responses", ("openai-responses", False): "/v1/responses",
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
        "openai-responses": {
            "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "error": None,
            "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True, "temperature": 1.0,
            "tool_choice": "auto", "tools": [], "top_p": 1.0,
            "output": [{
                "type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "text": text, "annotations": []}]}],
            "usage": {
                "input_tokens": 3, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 2,
                "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 5}},
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
    assert theatre.PROVIDER_KEY in credentials, f"the provider's credential did not arrive: {headers}"
    assert callers.KEY not in json.dumps(headers), "the caller's credential arrived"
    bodies.VALID[source](body)
    return body


def run(stage, case, stream, source, caller):
    """`stream` is what the provider answers where one is asked for; `case` runs a check."""
    at = stage.addresses["open"]

    def much(how):
        model = stage.model(source, answer(source, "Well.") if how == "whole" else stream)
        told = callers.ASK[caller](at, model, how, **REQUESTS[caller]())
        assert told.text, told
        body = arrived(stage, source, model, how != "whole")
        said = bodies.SAID[source](body)
        stop = [] if NO_STOP & {source, caller} else [STOP]
        expected = {
            "system": SYSTEM, "texts": QUESTION, "images": [URL], "documents": [], "tools": {"weather": WEATHER, "clock": CLOCK},
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

    def pair():
        model = stage.model(source, answer(source, "Well."))
        callers.ASK[caller](at, model, "whole", **PAIRS[caller]())
        body = arrived(stage, source, model, False)
        said = bodies.SAID[source](body)
        results = dict(said["results"])
        assert len(results) == len(PAIR), f"results: {said['results']}"
        got = [(name, arguments, results[call_id]) for call_id, name, arguments in said["calls"]]
        assert got == [call[1:] for call in PAIR], got
        assert said["texts"] == f"{QUESTION}Both.", said["texts"]
        assert forced(source, body) == "clock", forced(source, body)

    def document():
        model = stage.model(source, answer(source, "Well."))
        callers.ASK[caller](at, model, "whole", **with_document(caller))
        said = bodies.SAID[source](arrived(stage, source, model, False))
        assert (said["texts"], said["documents"], said["images"]) == (QUESTION, [PDF_URL], []), said

    def bound():
        model = stage.model(source, answer(source, json.dumps(TOLD)))
        told = callers.ASK[caller](at, model, "whole", **structured(caller))
        assert json.loads(told.text) == TOLD, told
        schema = bodies.SAID[source](arrived(stage, source, model, False))["schema"]
        assert schema == ANSWER, f"schema: {schema}"

    def parsed():
        model = stage.model(source, answer(source, json.dumps(TOLD)))
        reading = PARSED[caller](at, model)
        assert reading == Reading(**TOLD), reading
        schema = bodies.SAID[source](arrived(stage, source, model, False))["schema"]
        assert set(schema["properties"]) == set(TOLD) == set(schema["required"]), f"schema: {schema}"

    for how in ("whole", callers.HOW[caller][0]):
        case(f"{caller} to {source}, {how}: system, image, tools, a tool's result", lambda how=how: much(how))
    case(f"{caller} to {source}: two calls, their results, a forced tool", pair)
    case(f"{caller} to {source}: a document", document)
    case(f"{caller} to {source}: an answer bound to a schema", bound)
    if caller in PARSED:
        case(f"{caller} to {source}: an answer parsed into a type", parsed)
