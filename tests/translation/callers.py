"""The official SDKs at their default settings, and what each was told, in words that all dialects share.

A caller takes where it is pointed, the model, and more arguments for its own call. It says how it
got the answer: `whole`, by reading the `stream`, or by the SDK's own `helper` that puts a stream
together and needs every event in its place.
"""

import dataclasses
import functools
import json
import ssl
import threading

# Every client reads the platform's roots when it is made. No case uses TLS, and reading them once saves a minute.
ssl.create_default_context = functools.cache(ssl.create_default_context)

import anthropic
import boto3
import google.genai as genai
import openai
from botocore.exceptions import ClientError, EventStreamError
from google.genai import errors as genai_errors
from google.genai import types as genai_types

KEY = "key-of-the-caller"
WORD = "Go on."


@dataclasses.dataclass
class Told:
    """One answer. `tokens` are those in and out, each with all that is part of it."""

    text: str = ""
    reasoning: str = ""
    calls: list = dataclasses.field(default_factory=list)
    ids: list = dataclasses.field(default_factory=list)
    stop: str = ""
    tokens: tuple | None = None
    # Whether a call carries free text, told as an object with the one member `input`.
    has_free_text: bool = False

    def call(self, call_id, name, arguments):
        self.ids.append(call_id)
        arguments = json.loads(arguments or "{}") if isinstance(arguments, str | None) else arguments
        # Some providers write null for a call without arguments.
        self.calls.append((name, {} if arguments is None else arguments))


STOPS = {
    "stop": "end", "length": "length", "tool_calls": "tools", "content_filter": "filter",
    "end_turn": "end", "stop_sequence": "end", "tool_use": "tools", "max_tokens": "length", "refusal": "filter",
    "completed": "end", "max_output_tokens": "length",
    "STOP": "end", "MAX_TOKENS": "length", "SAFETY": "filter", "guardrail_intervened": "filter", "content_filtered": "filter",
}


def stop_of(word, calls):
    """Dialects without a word of their own for calls, and providers that do not use it, end as at the end of a turn."""
    stop = STOPS.get(word, str(word))
    return "tools" if stop == "end" and calls else stop


# ---- OpenAI Chat ----------------------------------------------------------------------------------------------------


def make_openai(at):
    return openai.OpenAI(base_url=f"http://{at}/v1", api_key=KEY)


def of_completion(completion):
    told = Told()
    choice = completion.choices[0]
    message = choice.message
    told.text = (message.content or "") + (message.refusal or "")
    told.reasoning = reasoning_of(message)
    for call in message.tool_calls or []:
        told.call(call.id, *chat_call(call))
    told.stop = "filter" if message.refusal else stop_of(choice.finish_reason, told.calls)
    told.tokens = chat_tokens(completion.usage)
    return told


def chat_call(call):
    """Its name and arguments, or those of a call with free text, which the SDK types only in whole answers."""
    if call.type != "custom":
        return call.function.name, call.function.arguments
    custom = call.custom if isinstance(call.custom, dict) else call.custom.model_dump()
    return custom["name"], {"input": custom["input"]}


def reasoning_of(message):
    """It is no member that the SDK knows, and the providers do not agree on its name."""
    return getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or ""


def chat_tokens(usage):
    details = usage and usage.completion_tokens_details
    if details and (details.reasoning_tokens or 0) > usage.completion_tokens:
        # A provider that does not count reasoning among the tokens of the answer, as the dialect would have it.
        return None
    return usage and (usage.prompt_tokens, usage.completion_tokens)


def chat(at, model, how="whole", **more):
    more = {"messages": [{"role": "user", "content": WORD}], **more}
    client = make_openai(at)
    if how == "whole":
        return of_completion(client.chat.completions.create(model=model, **more))
    more["stream_options"] = {"include_usage": True}
    if how == "helper":
        with client.chat.completions.stream(model=model, **more) as stream:
            parts = "".join(event.delta for event in stream if event.type == "content.delta")
            try:
                told = of_completion(stream.get_final_completion())
            except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
                # So it does with every answer that stopped for these; it has it whole all the same.
                told = of_completion(stream.current_completion_snapshot)
        # A refusal comes by events of its own.
        assert told.text.startswith(parts), (parts, told.text)
        return told
    told, calls, stop, is_refused = Told(), {}, "", False
    for chunk in client.chat.completions.create(model=model, stream=True, **more):
        told.tokens = chat_tokens(chunk.usage) or told.tokens
        for choice in chunk.choices:
            told.text += (choice.delta.content or "") + (choice.delta.refusal or "")
            is_refused = is_refused or bool(choice.delta.refusal)
            told.reasoning += reasoning_of(choice.delta)
            stop = choice.finish_reason or stop
            for call in choice.delta.tool_calls or []:
                held = calls.setdefault(call.index, ["", "", "", ""])
                said = call.function and call.function.model_dump() or getattr(call, "custom", None) or {}
                held[0] = call.id or held[0]
                held[1] = said.get("name") or held[1]
                held[2] += said.get("arguments") or said.get("input") or ""
                held[3] = call.type or held[3]
    for call_id, name, arguments, kind in calls.values():
        told.call(call_id, name, {"input": arguments} if kind == "custom" else arguments)
    told.stop = "filter" if is_refused else stop_of(stop, told.calls)
    return told


# ---- OpenAI Responses -----------------------------------------------------------------------------------------------


def of_response(response):
    told, refused = Told(text=response.output_text), ""
    for item in response.output:
        if item.type == "function_call":
            told.call(item.call_id, item.name, item.arguments)
        elif item.type == "custom_tool_call":
            told.call(item.call_id, item.name, {"input": item.input})
            told.has_free_text = True
        elif item.type == "reasoning":
            told.reasoning += "".join(part.text for part in [*item.summary, *(item.content or [])])
        elif item.type == "message":
            refused += "".join(part.refusal for part in item.content if part.type == "refusal")
    told.text += refused
    word = response.incomplete_details.reason if response.status == "incomplete" else response.status
    told.stop = "filter" if refused else stop_of(word, told.calls)
    usage = response.usage
    told.tokens = usage and (usage.input_tokens, usage.output_tokens)
    return told


def responses(at, model, how="whole", **more):
    more = {"input": WORD, **more}
    client = make_openai(at)
    if how == "whole":
        return of_response(client.responses.create(model=model, **more))
    if how == "helper":
        with client.responses.stream(model=model, **more) as stream:
            events = list(stream)
            # The SDK has no final response for one that stayed incomplete.
            last = events[-1]
            return of_response(last.response if last.type == "response.incomplete" else stream.get_final_response())
    text, arguments, final = "", {}, None
    for event in client.responses.create(model=model, stream=True, **more):
        if event.type in ("response.output_text.delta", "response.refusal.delta"):
            text += event.delta
        elif event.type == "response.function_call_arguments.delta":
            arguments[event.item_id] = arguments.get(event.item_id, "") + event.delta
        elif event.type in ("response.completed", "response.incomplete"):
            final = event.response
    assert final, "no terminal event"
    told = of_response(final)
    assert told.text == text, (told.text, text)
    whole = [item for item in final.output if item.type == "function_call"]
    assert [arguments.get(item.id, "") for item in whole] == [item.arguments for item in whole], (arguments, whole)
    return told


# ---- Anthropic ------------------------------------------------------------------------------------------------------


def make_anthropic(at):
    return anthropic.Anthropic(base_url=f"http://{at}", api_key=KEY)


def of_message(message):
    told = Told()
    for block in message.content:
        if block.type == "text":
            told.text += block.text
        elif block.type == "thinking":
            told.reasoning += block.thinking
        elif block.type == "tool_use":
            told.call(block.id, block.name, block.input)
    told.stop = stop_of(message.stop_reason, told.calls)
    told.tokens = message_tokens(message.usage)
    return told


def message_tokens(usage):
    return (
        (usage.input_tokens or 0) + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0), usage.output_tokens)


def messages(at, model, how="whole", **more):
    more = {"max_tokens": 500, "messages": [{"role": "user", "content": WORD}], **more}
    client = make_anthropic(at)
    if how == "whole":
        return of_message(client.messages.create(model=model, **more))
    if how == "helper":
        with client.messages.stream(model=model, **more) as stream:
            text = "".join(stream.text_stream)
            told = of_message(stream.get_final_message())
        assert told.text == text, (told.text, text)
        return told
    told, open_block, inputs = Told(), None, {}
    for event in client.messages.create(model=model, stream=True, **more):
        if event.type == "content_block_start":
            assert open_block is None, "a block began inside another"
            open_block = event.content_block
            inputs[event.index] = ""
            if open_block.type == "text":
                told.text += open_block.text
        elif event.type == "content_block_delta":
            told.text += event.delta.text if event.delta.type == "text_delta" else ""
            told.reasoning += event.delta.thinking if event.delta.type == "thinking_delta" else ""
            inputs[event.index] += event.delta.partial_json if event.delta.type == "input_json_delta" else ""
        elif event.type == "content_block_stop":
            if open_block.type == "tool_use":
                told.call(open_block.id, open_block.name, inputs[event.index] or open_block.input)
            open_block = None
        elif event.type == "message_start":
            begun = message_tokens(event.message.usage)
        elif event.type == "message_delta":
            told.stop = stop_of(event.delta.stop_reason, told.calls)
            usage = message_tokens(event.usage)
            told.tokens = (usage[0] or begun[0], usage[1])
    return told


# ---- Gemini ---------------------------------------------------------------------------------------------------------


def make_genai(at):
    return genai.Client(api_key=KEY, http_options=genai_types.HttpOptions(base_url=f"http://{at}"))


def generate(at, model, how="whole", **more):
    more = {"contents": WORD, **more}
    client = make_genai(at)
    if how == "whole":
        answers = [client.models.generate_content(model=model, **more)]
    else:
        answers = client.models.generate_content_stream(model=model, **more)
    told, stop = Told(), ""
    for answer in answers:
        for candidate in (answer.candidates or [])[:1]:
            for part in (candidate.content and candidate.content.parts) or []:
                if part.function_call:
                    told.call(part.function_call.id, part.function_call.name, part.function_call.args or {})
                elif part.thought:
                    told.reasoning += part.text or ""
                else:
                    told.text += part.text or ""
            stop = candidate.finish_reason.value if candidate.finish_reason else stop
        usage = answer.usage_metadata
        if usage and usage.prompt_token_count is not None:
            told.tokens = (
                (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
                (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0))
    told.stop = stop_of(stop, told.calls)
    return told


# ---- Bedrock --------------------------------------------------------------------------------------------------------


# A call that the provider runs itself.
HOSTED = "server_tool_use"


@functools.cache
def _bedrock_session():
    return boto3.session.Session(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="a-secret", region_name="us-east-1")


# A session may not make two clients at once, and takes long over each.
MAKING = threading.Lock()


@functools.cache
def _bedrock(at):
    return _bedrock_session().client("bedrock-runtime", endpoint_url=f"http://{at}")


def make_bedrock(at):
    with MAKING:
        return _bedrock(at)


def bedrock_tokens(usage):
    return usage and (
        usage["inputTokens"] + usage.get("cacheReadInputTokens", 0) + usage.get("cacheWriteInputTokens", 0), usage["outputTokens"])


def converse(at, model, how="whole", **more):
    more = {"messages": [{"role": "user", "content": [{"text": WORD}]}], **more}
    client = make_bedrock(at)
    told, word = Told(), ""
    if how == "whole":
        answer = client.converse(modelId=model, **more)
        for block in answer["output"]["message"]["content"]:
            told.text += block.get("text", "")
            told.reasoning += block.get("reasoningContent", {}).get("reasoningText", {}).get("text", "")
            call = block.get("toolUse")
            if call and call.get("type") != HOSTED:
                told.call(call["toolUseId"], call["name"], call["input"])
        word, told.tokens = answer["stopReason"], bedrock_tokens(answer["usage"])
    else:
        open_calls = {}
        for event in client.converse_stream(modelId=model, **more)["stream"]:
            [(kind, inside)] = event.items()
            if kind == "contentBlockStart" and "toolUse" in inside["start"]:
                call = inside["start"]["toolUse"]
                if call.get("type") != HOSTED:
                    open_calls[inside["contentBlockIndex"]] = [call["toolUseId"], call["name"], ""]
            elif kind == "contentBlockDelta":
                delta = inside["delta"]
                told.text += delta.get("text", "")
                told.reasoning += delta.get("reasoningContent", {}).get("text", "")
                if "toolUse" in delta and inside["contentBlockIndex"] in open_calls:
                    open_calls[inside["contentBlockIndex"]][2] += delta["toolUse"]["input"]
            elif kind == "contentBlockStop":
                if call := open_calls.pop(inside["contentBlockIndex"], None):
                    told.call(*call)
            elif kind == "messageStop":
                word = inside["stopReason"]
            elif kind == "metadata":
                told.tokens = bedrock_tokens(inside["usage"])
    told.stop = stop_of(word, told.calls)
    return told


ASK = {"openai-chat": chat, "openai-responses": responses, "anthropic": messages, "gemini": generate, "bedrock": converse}
HOW = {
    "openai-chat": ("stream", "helper"), "openai-responses": ("stream", "helper"), "anthropic": ("stream", "helper"),
    "gemini": ("stream",), "bedrock": ("stream",),
}
# What an SDK raises for a status, and how it says it.
RAISES = {
    **{dialect: {
        400: openai.BadRequestError, 401: openai.AuthenticationError, 403: openai.PermissionDeniedError, 404: openai.NotFoundError,
        429: openai.RateLimitError, 500: openai.InternalServerError, 503: openai.InternalServerError,
    } for dialect in ("openai-chat", "openai-responses")},
    "anthropic": {
        400: anthropic.BadRequestError, 401: anthropic.AuthenticationError, 403: anthropic.PermissionDeniedError,
        404: anthropic.NotFoundError, 429: anthropic.RateLimitError, 500: anthropic.InternalServerError,
        503: anthropic._exceptions.ServiceUnavailableError,
    },
    "gemini": {status: genai_errors.ClientError if status < 500 else genai_errors.ServerError for status in (400, 401, 403, 404, 429, 500, 503)},
    "bedrock": {
        400: "ValidationException", 401: "UnrecognizedClientException", 403: "AccessDeniedException", 404: "ResourceNotFoundException",
        429: "ThrottlingException", 500: "InternalServerException", 503: "ServiceUnavailableException",
    },
}
# What one raises inside a stream.
RAISES_WITHIN = {
    "openai-chat": openai.APIError, "openai-responses": openai.APIError, "anthropic": anthropic.APIStatusError,
    "gemini": genai_errors.APIError, "bedrock": EventStreamError,
}


def is_raised(dialect, error, status):
    """Whether it is what the SDK raises for this status at the provider itself."""
    expected = RAISES[dialect][status]
    if dialect == "bedrock":
        return isinstance(error, ClientError) and error.response["Error"]["Code"] == expected
    return type(error) is expected and getattr(error, "status_code", getattr(error, "code", None)) == status
