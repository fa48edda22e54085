"""The official Python SDKs at their default settings, directly and through the gateway."""

import hashlib

import anthropic
import google.genai as genai
import openai
from google.genai import errors as genai_errors
from google.genai import types as genai_types
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI

from harness import APPS, Gateway, Mock, Score, same

TOOL = "mock:tool=weather:%7B%22city%22%3A%22Paris%22%7D;"
TOOLS = "mock:tool=weather:%7B%22city%22%3A%22Paris%22%7D,tool=time:%7B%7D;"
TEXT = "mock:text=R%C3%A9sum%C3%A9%20%F0%9F%8E%89%20%22quoted%22%0Aline;"
LONG = "mock:tokens=60;"


def script(**keys):
    return "mock:" + ",".join(f"{key}={value}" for key, value in keys.items()) + ";"


# ---- one function a client and shape: base URL and prompt in, plain data out ---------------------


def openai_client(base, key="test-key"):
    return openai.OpenAI(base_url=f"http://{base}/v1", api_key=key)


FUNCTIONS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("weather", "time")
]


def chat(base, prompt, model="gpt-4o", **more):
    answer = openai_client(base).chat.completions.create(
        model=model, messages=[{"role": "user", "content": prompt}], tools=FUNCTIONS, **more
    )
    choice = answer.choices[0]
    calls = [(c.function.name, c.function.arguments) for c in choice.message.tool_calls or []]
    return choice.message.role, choice.message.content, calls, choice.finish_reason, answer.usage.total_tokens


def chat_stream(base, prompt, model="gpt-4o", client=None):
    stream = (client or openai_client(base)).chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": prompt}],
        stream=True,
        stream_options={"include_usage": True},
    )
    text, calls, finish, usage = "", {}, None, None
    for chunk in stream:
        usage = chunk.usage.total_tokens if chunk.usage else usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                known = calls.setdefault(call.index, ["", ""])
                known[0] += call.function.name or ""
                known[1] += call.function.arguments or ""
    return text, calls, finish, usage


def responses(base, prompt):
    answer = openai_client(base).responses.create(model="gpt-4o", input=prompt)
    calls = [(item.name, item.arguments) for item in answer.output if item.type == "function_call"]
    return answer.output_text, calls, answer.status, answer.usage.total_tokens


def responses_stream(base, prompt, model="gpt-4o"):
    text, final = "", None
    for event in openai_client(base).responses.create(model=model, input=prompt, stream=True):
        if event.type == "response.output_text.delta":
            text += event.delta
        if event.type == "response.completed":
            final = event.response
    calls = [(item.name, item.arguments) for item in final.output if item.type == "function_call"]
    return text, final.output_text, calls, final.usage.total_tokens


def anthropic_client(base):
    return anthropic.Anthropic(base_url=f"http://{base}", api_key="test-key")


def messages(base, prompt, model="claude-haiku-4-5"):
    answer = anthropic_client(base).messages.create(
        model=model, max_tokens=500, messages=[{"role": "user", "content": prompt}]
    )
    blocks = [(b.type, getattr(b, "text", None), getattr(b, "input", None)) for b in answer.content]
    return blocks, answer.stop_reason, answer.usage.output_tokens


def messages_stream(base, prompt, model="claude-haiku-4-5"):
    with anthropic_client(base).messages.stream(
        model=model, max_tokens=500, messages=[{"role": "user", "content": prompt}]
    ) as stream:
        text = "".join(stream.text_stream)
        answer = stream.get_final_message()
    blocks = [(b.type, getattr(b, "text", None), getattr(b, "input", None)) for b in answer.content]
    return text, blocks, answer.stop_reason


def genai_client(base):
    return genai.Client(api_key="test-key", http_options=genai_types.HttpOptions(base_url=f"http://{base}"))


def gemini(base, prompt, model="gemini-2.5-flash"):
    # A client that is let go while its answer is read closes its connection.
    client = genai_client(base)
    answer = client.models.generate_content(model=model, contents=prompt)
    parts = [(p.text, p.function_call and (p.function_call.name, p.function_call.args)) for p in answer.candidates[0].content.parts]
    return parts, answer.candidates[0].finish_reason, answer.usage_metadata.total_token_count


def gemini_stream(base, prompt, model="gemini-2.5-flash"):
    client = genai_client(base)
    parts = []
    for chunk in client.models.generate_content_stream(model=model, contents=prompt):
        for part in (chunk.candidates[0].content.parts or []) if chunk.candidates and chunk.candidates[0].content else []:
            parts.append((part.text, part.function_call and (part.function_call.name, part.function_call.args)))
    return parts


def lc_openai(base, prompt):
    answer = ChatOpenAI(base_url=f"http://{base}/v1", api_key="k", model="gpt-4o").invoke(prompt)
    return answer.content, [(c["name"], c["args"]) for c in answer.tool_calls]


def lc_openai_stream(base, prompt):
    return [c.content for c in ChatOpenAI(base_url=f"http://{base}/v1", api_key="k", model="gpt-4o").stream(prompt)]


def lc_anthropic(base, prompt):
    model = ChatAnthropic(base_url=f"http://{base}", api_key="k", model="claude-haiku-4-5")
    return model.invoke(prompt).content


def lc_anthropic_stream(base, prompt):
    model = ChatAnthropic(base_url=f"http://{base}", api_key="k", model="claude-haiku-4-5")
    return "".join(str(c.content) for c in model.stream(prompt))


ASK = [
    chat, chat_stream, responses, responses_stream, messages, messages_stream, gemini, gemini_stream,
    lc_openai, lc_openai_stream, lc_anthropic, lc_anthropic_stream,
]


# ---- what must hold ------------------------------------------------------------------------------


def raises(score, mock, name, ask, kinds, words, requests, needs_words=True):
    """`ask` raises one of `kinds`, its message has one of `words`, and the provider saw so many requests."""

    def check():
        before = mock.requests()
        try:
            got = ask()
        except kinds as error:
            said = str(error)
            assert not needs_words or any(word in said for word in words), said
        else:
            raise AssertionError(f"no exception: {got!r}")
        seen = mock.requests() - before
        assert seen == requests, f"{seen} requests reached the provider, {requests} expected"

    score.case(name, check)


def main():
    score, mock = Score(), Mock()
    gateway = Gateway(mock)
    direct, through = mock.address, gateway.address
    for ask in ASK:
        for label, prompt in [("text", TEXT), ("long", LONG), ("tool", TOOL), ("parallel tools", TOOLS)]:
            score.case(f"{ask.__name__}: {label}", lambda: same(ask(direct, prompt), ask(through, prompt)))
    score.case("models", lambda: same(
        [m.id for m in openai_client(direct).models.list()], [m.id for m in openai_client(through).models.list()]))
    score.case("embeddings", lambda: same(
        openai_client(direct).embeddings.create(model="e", input="x").data[0].embedding,
        openai_client(through).embeddings.create(model="e", input="x").data[0].embedding))
    score.case("raw response headers", lambda: openai_client(through).chat.completions.with_raw_response.create(
        model="gpt-4o", messages=[{"role": "user", "content": TEXT}]).headers["x-firedoor-exchange"])

    # The provider's own errors reach the client as they would directly: kind and request count.
    for status, kind, count in [(400, openai.BadRequestError, 1), (429, openai.RateLimitError, 3), (500, openai.InternalServerError, 3)]:
        for base, where in [(direct, "direct"), (through, "through")]:
            raises(score, mock, f"openai {status} {where}", lambda: chat(base, script(status=status)), kind, [""], count)
    for status, kind, count in [(400, anthropic.BadRequestError, 1), (429, anthropic.RateLimitError, 3), (500, anthropic.InternalServerError, 3)]:
        for base, where in [(direct, "direct"), (through, "through")]:
            raises(score, mock, f"anthropic {status} {where}", lambda: messages(base, script(status=status)), kind, [""], count)
    for status, kind in [(400, genai_errors.ClientError), (429, genai_errors.ClientError), (500, genai_errors.ServerError)]:
        raises(score, mock, f"genai {status} through", lambda: gemini(through, script(status=status)), kind, [""], 1)

    # Refusals of the gateway: final ones are asked once, and the provider never hears of them.
    unknown = "no route takes model"
    raises(score, mock, "openai unknown model", lambda: chat(through, "x", model="nope"), openai.NotFoundError, [unknown], 0)
    raises(score, mock, "openai unknown model, stream", lambda: chat_stream(through, "x", model="nope"), openai.NotFoundError, [unknown], 0)
    raises(score, mock, "responses unknown model", lambda: responses_stream(through, "x", model="nope"), openai.NotFoundError, [unknown], 0)
    raises(score, mock, "anthropic unknown model", lambda: messages(through, "x", model="nope"), anthropic.NotFoundError, [unknown], 0)
    raises(score, mock, "genai unknown model", lambda: gemini(through, "x", model="nope"), genai_errors.ClientError, [unknown, "speaks gemini"], 0)
    raises(score, mock, "provider down", lambda: chat(through, "x", model="down-1"), openai.InternalServerError, ["connect", "left alone"], 0)

    # Streams that break are never taken for whole ones.
    for fault in ("reset", "stall", "truncate"):
        broken = script(tokens=30, fault=fault, at=8)
        words = ["firedoor_", "provider", "connection"]
        raises(score, mock, f"chat stream {fault}", lambda: chat_stream(through, broken), openai.APIError, words, 1)
        raises(score, mock, f"responses stream {fault}", lambda: responses_stream(through, broken), openai.APIError, words, 1)
        raises(score, mock, f"anthropic stream {fault}", lambda: messages_stream(through, broken), anthropic.APIStatusError, words, 1)
        raises(score, mock, f"genai stream {fault}", lambda: gemini_stream(through, broken), (genai_errors.ServerError, genai_errors.ClientError), words, 1)
        raises(score, mock, f"langchain openai stream {fault}", lambda: lc_openai_stream(through, broken), openai.APIError, words, 1)
        raises(score, mock, f"langchain anthropic stream {fault}", lambda: lc_anthropic_stream(through, broken), anthropic.APIStatusError, words, 1)
    gateway.stop()

    # An app's key and limit: a limit is a final 400 that no SDK asks again.
    key = "app-key-of-the-clients-suite"
    apps = APPS.format(key=hashlib.sha256(key.encode()).hexdigest(), rpm=1)
    gateway = Gateway(mock, apps + '[providers.keyed]\ndialect = "openai"\nbase_url = "http://%s/v1"\napi_key = "provider-key"\n[[routes]]\nname = "keyed"\nmatch = { model = "keyed" }\ntargets = [{ provider = "keyed" }]\n' % mock.address)
    through = gateway.address

    def keyed(with_key):
        return openai_client(through, with_key).chat.completions.create(
            model="keyed", messages=[{"role": "user", "content": TEXT}]).choices[0].message.content

    raises(score, mock, "wrong app key", lambda: keyed("wrong"), openai.AuthenticationError, ["no valid app key"], 0)
    score.case("right app key", lambda: keyed(key))
    raises(score, mock, "limited", lambda: keyed(key), openai.BadRequestError, ["Limited by firedoor"], 0)
    gateway.stop()
    mock.stop()
    score.finish()


main()
