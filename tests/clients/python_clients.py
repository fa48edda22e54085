"""The official Python SDKs at their default settings, directly and through the gateway."""

import asyncio
import concurrent.futures
import functools
import hashlib
import json
import logging
import re
import ssl
import warnings
from importlib.metadata import version

# Every client reads the platform's roots when it is made. No case uses TLS, and reading them once saves a minute.
ssl.create_default_context = functools.cache(ssl.create_default_context)

import anthropic
import google.genai as genai
import openai
from google.genai import types as genai_types
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI

import kills
import stage as theatre
from asking import MODELS, To, measured, plain, said
from score import CASES, Score

warnings.filterwarnings("ignore")
# What SDKs log about exceptions that they also raise.
logging.disable()
PROMPTS = CASES["prompts"]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


# ---- the clients: each takes where it is pointed and a prompt, and returns all it was told, as plain data ----------


def dump(value):
    return value.model_dump(mode="json", warnings=False)


def make_openai(to, kind=openai.OpenAI):
    return kind(base_url=to.url("/v1"), api_key=to.key, default_headers=to.headers)


def make_anthropic(to, kind=anthropic.Anthropic):
    return kind(base_url=to.url(), api_key=to.key, default_headers=to.headers)


def make_genai(to):
    options = genai_types.HttpOptions(base_url=to.url(), headers=to.headers)
    return genai.Client(api_key=to.key, http_options=options)


CHAT_TOOLS = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("weather", "clock")]
RESPONSES_TOOLS = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": False} for name in ("weather", "clock")]
ANTHROPIC_TOOLS = [{"name": name, "input_schema": SCHEMA} for name in ("weather", "clock")]
GENAI_CONFIG = genai_types.GenerateContentConfig(
    tools=[genai_types.Tool(function_declarations=[
        genai_types.FunctionDeclaration(name=name, parameters_json_schema=SCHEMA) for name in ("weather", "clock")])],
)


def user(prompt):
    return [{"role": "user", "content": prompt}]


def chat_arguments(to, prompt):
    return {"model": to.model("openai"), "messages": user(prompt), "tools": CHAT_TOOLS}


def responses_arguments(to, prompt):
    return {"model": to.model("openai"), "input": prompt, "tools": RESPONSES_TOOLS}


def messages_arguments(to, prompt):
    return {"model": to.model("anthropic"), "max_tokens": 500, "messages": user(prompt), "tools": ANTHROPIC_TOOLS}


def genai_arguments(to, prompt):
    return {"model": to.model("gemini"), "contents": prompt, "config": GENAI_CONFIG}


def chat(to, prompt):
    return dump(make_openai(to).chat.completions.create(**chat_arguments(to, prompt)))


def chat_chunk(to, chunk):
    to.text += "".join(choice.delta.content or "" for choice in chunk.choices if choice.delta and isinstance(choice.delta.content, str))
    return dump(chunk)


def chat_stream(to, prompt):
    options = {"stream": True, "stream_options": {"include_usage": True}}
    client = make_openai(to)
    return [chat_chunk(to, chunk) for chunk in client.chat.completions.create(**chat_arguments(to, prompt), **options)]


def chat_helper(to, prompt):
    arguments = chat_arguments(to, prompt)
    arguments["tools"] = [{**tool, "function": {**tool["function"], "strict": True}} for tool in CHAT_TOOLS]
    client = make_openai(to)
    with client.chat.completions.stream(**arguments) as stream:
        for event in stream:
            if event.type == "content.delta":
                to.text += event.delta
        return dump(stream.get_final_completion())


def chat_async(to, prompt):
    async def run():
        async with make_openai(to, openai.AsyncOpenAI) as client:
            stream = await client.chat.completions.create(**chat_arguments(to, prompt), stream=True)
            return [chat_chunk(to, chunk) async for chunk in stream]

    return asyncio.run(run())


def responses(to, prompt):
    return dump(make_openai(to).responses.create(**responses_arguments(to, prompt)))


def responses_event(to, event):
    to.text += event.delta if event.type == "response.output_text.delta" else ""
    return dump(event)


def responses_stream(to, prompt):
    client = make_openai(to)
    return [responses_event(to, event) for event in client.responses.create(**responses_arguments(to, prompt), stream=True)]


def responses_helper(to, prompt):
    arguments = responses_arguments(to, prompt)
    arguments["tools"] = [{**tool, "strict": True} for tool in RESPONSES_TOOLS]
    client = make_openai(to)
    with client.responses.stream(**arguments) as stream:
        for event in stream:
            responses_event(to, event)
        return dump(stream.get_final_response())


def messages(to, prompt):
    return dump(make_anthropic(to).messages.create(**messages_arguments(to, prompt)))


def messages_event(to, event):
    if event.type == "content_block_delta" and event.delta.type == "text_delta":
        to.text += event.delta.text
    return dump(event)


def messages_stream(to, prompt):
    client = make_anthropic(to)
    return [messages_event(to, event) for event in client.messages.create(**messages_arguments(to, prompt), stream=True)]


def messages_helper(to, prompt):
    client = make_anthropic(to)
    with client.messages.stream(**messages_arguments(to, prompt)) as stream:
        for event in stream:
            messages_event(to, event)
        return dump(stream.get_final_message())


def messages_async(to, prompt):
    async def run():
        async with make_anthropic(to, anthropic.AsyncAnthropic) as client:
            stream = await client.messages.create(**messages_arguments(to, prompt), stream=True)
            return [messages_event(to, event) async for event in stream]

    return asyncio.run(run())


def told(answer):
    """A genai answer without the HTTP headers that the SDK puts into it."""
    return {key: value for key, value in dump(answer).items() if key != "sdk_http_response"}


def genai_chunk(to, chunk):
    for candidate in chunk.candidates or []:
        to.text += "".join(part.text or "" for part in (candidate.content and candidate.content.parts) or [])
    return told(chunk)


def genai_whole(to, prompt):
    client = make_genai(to)
    return told(client.models.generate_content(**genai_arguments(to, prompt)))


def genai_stream(to, prompt):
    client = make_genai(to)
    return [genai_chunk(to, chunk) for chunk in client.models.generate_content_stream(**genai_arguments(to, prompt))]


def genai_async(to, prompt):
    async def run():
        client = make_genai(to)
        stream = await client.aio.models.generate_content_stream(**genai_arguments(to, prompt))
        return [genai_chunk(to, chunk) async for chunk in stream]

    return asyncio.run(run())


def lc_openai(to, **more):
    model = ChatOpenAI(base_url=to.url("/v1"), api_key=to.key, model=to.model("openai"), default_headers=to.headers, **more)
    return model.bind_tools([tool["function"] | {"description": "a tool"} for tool in CHAT_TOOLS])


def lc_anthropic(to):
    model = ChatAnthropic(base_url=to.url(), api_key=to.key, model=to.model("anthropic"), default_headers=to.headers)
    return model.bind_tools(ANTHROPIC_TOOLS)


def lc_chunk(to, chunk):
    to.text += chunk.text if isinstance(chunk.text, str) else chunk.text()
    return lc_told(chunk)


def lc_told(message):
    return {
        "content": message.content, "calls": message.tool_calls, "usage": message.usage_metadata,
        "more": message.additional_kwargs, "metadata": {k: v for k, v in message.response_metadata.items() if k != "headers"},
    }


def lc_openai_invoke(to, prompt):
    return lc_told(lc_openai(to).invoke(prompt))


def lc_openai_stream(to, prompt):
    return [lc_chunk(to, chunk) for chunk in lc_openai(to).stream(prompt)]


def lc_responses_stream(to, prompt):
    return [lc_chunk(to, chunk) for chunk in lc_openai(to, use_responses_api=True).stream(prompt)]


def lc_anthropic_invoke(to, prompt):
    return lc_told(lc_anthropic(to).invoke(prompt))


def lc_anthropic_stream(to, prompt):
    return [lc_chunk(to, chunk) for chunk in lc_anthropic(to).stream(prompt)]


# name, family, dialect, whether it streams, what it does
CLIENTS = [
    ("openai chat", "openai", "openai-chat", False, chat),
    ("openai chat, stream", "openai", "openai-chat", True, chat_stream),
    ("openai chat, .stream()", "openai", "openai-chat", True, chat_helper),
    ("openai chat, async stream", "openai", "openai-chat", True, chat_async),
    ("openai responses", "openai", "openai-responses", False, responses),
    ("openai responses, stream", "openai", "openai-responses", True, responses_stream),
    ("openai responses, .stream()", "openai", "openai-responses", True, responses_helper),
    ("anthropic", "anthropic", "anthropic", False, messages),
    ("anthropic, stream", "anthropic", "anthropic", True, messages_stream),
    ("anthropic, .stream()", "anthropic", "anthropic", True, messages_helper),
    ("anthropic, async stream", "anthropic", "anthropic", True, messages_async),
    ("google-genai", "gemini", "gemini", False, genai_whole),
    ("google-genai, stream", "gemini", "gemini", True, genai_stream),
    ("google-genai, async stream", "gemini", "gemini", True, genai_async),
    ("langchain-openai", "openai", "openai-chat", False, lc_openai_invoke),
    ("langchain-openai, stream", "openai", "openai-chat", True, lc_openai_stream),
    ("langchain-openai responses, stream", "openai", "openai-responses", True, lc_responses_stream),
    ("langchain-anthropic", "anthropic", "anthropic", False, lc_anthropic_invoke),
    ("langchain-anthropic, stream", "anthropic", "anthropic", True, lc_anthropic_stream),
]
# One a dialect that hides nothing: these read every recording.
READERS = {"openai-chat": chat_stream, "openai-responses": responses_stream, "anthropic": messages_stream, "gemini": genai_stream}
FOLDERS = {
    "openai-chat": "openai-chat", "openai-responses": "openai-responses", "anthropic": "anthropic-messages",
    "gemini": "gemini-generatecontent",
}


# ---- what must hold ------------------------------------------------------------------------------------------------


def outcome(ask, to, prompt):
    """What a client returns or raises, as comparable text."""
    try:
        return plain(ask(to, prompt))
    except Exception as error:  # noqa: BLE001 - an exception is a result
        return f"raised {type(error).__name__}: {plain(str(error))}; it had said {to.text!r}"


def answered(told, label):
    # Helpers that promise a whole answer raise on one that the model was told to keep short.
    assert label == "cut short" or not told.startswith("raised"), told
    return told


def played(told):
    assert "x-tape" not in told, told
    return told


def same(direct, through):
    if direct == through:
        return
    at = next((i for i, (a, b) in enumerate(zip(direct, through)) if a != b), min(len(direct), len(through)))
    raise AssertionError(f"at {at}: direct ...{direct[max(0, at - 80):at + 160]!r} but through ...{through[max(0, at - 80):at + 160]!r}")


class Suite:
    def __init__(self, stage, score):
        self.stage, self.score = stage, score
        self.direct, self.through = stage.addresses["mock"], stage.addresses["open"]

    def pair(self, name, run):
        """`run` gives the same for both addresses."""
        self.score.case(name, lambda: same(run(self.direct), run(self.through)))

    # -- same results

    def answers(self, client):
        name, family, dialect, streams, ask = client
        for label, prompt in PROMPTS.items():
            self.pair(f"{name}: {label}", lambda at: answered(outcome(ask, To(at), prompt), label))
        self.pair(
            f"{name}: under the provider's own path", lambda at: answered(outcome(ask, To(at, prefix=f"/{family}"), PROMPTS["tool"]), ""))
        if streams:
            for tape in CASES["tapes"][dialect]:
                headers = {"x-tape": tape, "x-tape-split": "random:7"}
                self.pair(f"{name}: recorded {tape}", lambda at: played(outcome(ask, To(at, headers=headers), "Go on.")))

    def recordings(self, dialect):
        """Every recorded stream of a dialect, through the client that shows most of it."""
        for meta in sorted((theatre.RECORDINGS / FOLDERS[dialect]).glob("*.meta.json")):
            told_of = json.loads(meta.read_text())
            tape = f"{FOLDERS[dialect]}/{told_of['body_file']}"
            if told_of["kind"] != "stream":
                continue
            direct, through = (
                played(outcome(READERS[dialect], To(at, headers={"x-tape": tape}), "Go on.")) for at in (self.direct, self.through))
            yield tape, direct, through

    def all_recordings(self, dialect):
        different = []
        count = 0
        for tape, direct, through in self.recordings(dialect):
            count += 1
            expected = KNOWN.get(tape)
            if expected is not None:
                # Directly it passes for a whole answer; the gateway sees that it is not one.
                self.score.case(f"recorded and incomplete: {tape}", lambda: check_incomplete(direct, through, expected))
            elif direct != through:
                different.append((tape, direct, through))
        for tape, direct, through in different:
            self.score.case(f"recorded {tape}", lambda: same(direct, through))
        self.score.case(f"{dialect}: {count} recorded streams are the same", lambda: known(not different and count > 0, f"{len(different)} differ"))

    def passthrough(self):
        def listed(make, call):
            return lambda at: plain(call(make(To(at))))

        for name, run in {
            "openai models.list": listed(make_openai, lambda c: [dump(m) for m in c.models.list()]),
            "openai embeddings, one": listed(make_openai, lambda c: dump(c.embeddings.create(model="text-embedding-3-small", input="x"))),
            "openai embeddings, many": listed(make_openai, lambda c: dump(c.embeddings.create(model="text-embedding-3-small", input=["x", "y"]))),
            "openai embeddings, floats": listed(make_openai, lambda c: dump(
                c.embeddings.create(model="text-embedding-3-small", input="x", encoding_format="float"))),
            "anthropic models.list": lambda at: plain([dump(m) for m in make_anthropic(To(at, prefix="/anthropic")).models.list()]),
            "anthropic count_tokens": listed(make_anthropic, lambda c: dump(
                c.messages.count_tokens(model=MODELS["anthropic"], messages=user("How many?")))),
            "google-genai models.list": listed(make_genai, lambda c: [dump(m) for m in c.models.list()]),
            "google-genai count_tokens": listed(make_genai, lambda c: told(c.models.count_tokens(model=MODELS["gemini"], contents="How many?"))),
        }.items():
            self.pair(name, run)

    def headers(self):
        """What the provider says in its head arrives; the gateway adds its own words to it."""
        def read(at):
            raw = make_openai(To(at)).chat.completions.with_raw_response.create(model="gpt-4o", messages=user(PROMPTS["text"]))
            return dict(raw.headers)

        def check():
            direct, through = read(self.direct), read(self.through)
            for name in ("x-firedoor-exchange", "x-firedoor-route", "x-firedoor-target", "x-firedoor-attempt"):
                assert through.pop(name), name
            upstream = through.pop("x-firedoor-upstream-request-id")
            assert re.fullmatch(r"mock-\d+", upstream), upstream
            for ours in ("date", "x-request-id", "connection", "x-firedoor-verdict"):
                direct.pop(ours, None), through.pop(ours, None)
            assert direct == through, (direct, through)

        self.score.case("headers of an answer", check)

    def agent_loops(self):
        """Tools that the SDK itself runs, the results sent back, to the final text."""
        script = PROMPTS["parallel tools"]

        def weather(city: str) -> str:
            """The weather of a city."""
            return f"rain in {city}"

        def clock() -> str:
            """The time."""
            return "noon"

        def genai_loop(at):
            client = make_genai(To(at))
            answer = client.models.generate_content(
                model=MODELS["gemini"], contents=script, config=genai_types.GenerateContentConfig(tools=[weather, clock]))
            return plain([answer.text, [dump(content) for content in answer.automatic_function_calling_history]])

        def anthropic_loop(at):
            runner = make_anthropic(To(at)).beta.messages.tool_runner(
                model=MODELS["anthropic"], max_tokens=500, messages=user(script),
                tools=[anthropic.beta_tool(weather), anthropic.beta_tool(clock)])
            return plain([dump(message) for message in runner])

        def chat_loop(at):
            client, said_so_far = make_openai(To(at)), user(script)
            for _ in range(3):
                answer = client.chat.completions.create(model=MODELS["openai"], messages=said_so_far, tools=CHAT_TOOLS).choices[0].message
                if not answer.tool_calls:
                    return plain([answer.content, said_so_far])
                said_so_far.append(answer.model_dump(exclude_none=True))
                said_so_far += [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in answer.tool_calls]
            raise AssertionError("the loop does not end")

        for name, run in {"google-genai": genai_loop, "anthropic tool_runner": anthropic_loop, "openai chat": chat_loop}.items():
            self.pair(f"{name}: an agent's loop", run)

    # -- failures

    def failures(self, client, slot):
        name, family, _, streams, ask = client
        self.provider_errors(name, family, ask, slot)
        self.refusals(name, family, ask, slot)
        if not streams:
            self.breaks(name, family, ask, slot)
        else:
            # LangChain shows the code of `response.failed`, whose vocabulary is the provider's.
            self.cuts(name, family, ask, slot, ["server_error"] if "langchain-openai responses" in name else [])

    def provider_errors(self, name, family, ask, slot):
        for status in CASES["errors"]:
            def check():
                seen = []
                for where, suffix in (("mock", ""), ("open", f"-{slot}")):
                    tap = self.stage.tap(where)
                    # The column of the table is the run through the gateway.
                    error = measured(self.score, name, f"provider {status}", tap, ask, To(tap.address, model=suffix), f"mock:status={status};")
                    seen.append((tap.requests, type(error).__name__, plain(said(error))))
                assert seen[0] == seen[1], f"direct {seen[0]} but through {seen[1]}"
                # Retries of an answer in 5xx count against the target: an answer clears it.
                ask(To(self.through, model=f"-{slot}"), PROMPTS["long"])

            self.score.case(f"{name}: provider's {status}, direct and through", check)

    def refusals(self, name, family, ask, slot):
        for label, expected in CASES["refusals"].items():
            def check():
                where = "apps" if "app" in label else "open"
                tap = self.stage.tap(where, corrupt=label == "bad body")
                to = To(tap.address, model={"unknown model": "-nope", "no provider": "-down"}.get(label, ""))
                if label == "unknown model":
                    to.model = lambda _: "nobody-knows-it"
                if label == "limit of the app":
                    to.key = theatre.app_key(slot)
                    ask(To(self.stage.addresses["apps"], key=to.key), PROMPTS["text"])
                error = measured(self.score, name, label, tap, ask, to, PROMPTS["text"])
                self.refused(error, expected, family)
                if label != "no provider":
                    assert tap.requests == 1, f"{tap.requests} requests for what is final"

            self.score.case(f"{name}: refused, {label}", check)

    @staticmethod
    def refused(error, expected, family):
        text = said(error)
        assert any(word in text for word in expected["words"]), text
        assert expected["codes"][family] in text, text
        assert re.search(r"\(ref x_\w+\)", text), text

    def cuts(self, name, family, ask, slot, more_codes):
        whole = To(self.direct)
        ask(whole, "mock:tokens=30;")
        for label, expected in CASES["cuts"].items():
            def check():
                tap = self.stage.tap("open")
                to = To(tap.address, model=f"-{slot}")
                error = measured(self.score, name, label, tap, ask, to, f"mock:tokens=30,{expected['script']};")
                text = said(error)
                assert tap.requests == 1, f"{tap.requests} requests"
                assert "provider" in text and re.search(r"\(ref x_\w+\)", text), text
                assert any(code in text for code in (expected["codes"][family], *more_codes)), text
                assert to.text and whole.text.startswith(to.text) and to.text != whole.text, f"the client had seen {to.text!r}"

            self.score.case(f"{name}: cut, {label}", check)
            ask(To(self.through, model=f"-{slot}"), PROMPTS["long"])

    def breaks(self, name, family, ask, slot):
        """Whole answers that break on their way: an error answer, which may be asked for again."""
        for label, expected in CASES["cuts"].items():
            def check():
                tap = self.stage.tap("open")
                to = To(tap.address, model=f"-{slot}")
                error = measured(self.score, name, f"whole, {label}", tap, ask, to, f"mock:tokens=30,{expected['script']};")
                text = said(error)
                # JSON that is cut while HTTP says it is whole is the provider's word, and passed on: no SDK can read it.
                assert label == "truncated" or expected["codes"][family] in text, text

            self.score.case(f"{name}: broken, {label}", check)
            ask(To(self.through, model=f"-{slot}"), PROMPTS["long"])

    def credentials(self):
        """No app's key reached the provider: only its own did."""
        keys = {hashlib.sha256(key.encode()).hexdigest()[:16] for key in [theatre.app_key(slot) for slot in theatre.SLOTS] + ["test-key"]}
        before = self.stage.mock.get("/stats")["requests"]
        slot = theatre.SLOTS[-1]
        chat(To(self.stage.addresses["apps"], key=theatre.app_key(slot)), PROMPTS["text"])
        arrived = json.dumps(self.stage.mock.get("/requests"))
        assert self.stage.mock.get("/stats")["requests"] > before
        own = hashlib.sha256(theatre.PROVIDER_KEY.encode()).hexdigest()[:16]
        assert own in arrived, "the provider's credential did not arrive"
        assert not any(key in arrived for key in keys - {hashlib.sha256(b"test-key").hexdigest()[:16]}), "an app's key arrived"


def known(holds, what):
    assert holds, what


def check_incomplete(direct, through, word):
    assert not direct.startswith("raised"), direct
    assert through.startswith("raised") and word in through, through


# Recordings that end without their dialect's end: SDKs read them as whole answers.
KNOWN = {}


def main():
    packages = ["openai", "anthropic", "google-genai", "langchain-openai", "langchain-anthropic"]
    score = Score("Python", ", ".join(f"{package} {version(package)}" for package in packages))
    with theatre.Stage() as stage:
        suite = Suite(stage, score)
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            jobs = [pool.submit(suite.failures, client, theatre.SLOTS[number]) for number, client in enumerate(CLIENTS)]
            jobs += [
                pool.submit(job, stage, score, client, number)
                for job in (kills.under_way, kills.of_tools) for number, client in enumerate(CLIENTS)]
            jobs += [pool.submit(suite.answers, client) for client in CLIENTS]
            jobs += [pool.submit(suite.all_recordings, dialect) for dialect in READERS]
            jobs += [pool.submit(job) for job in (suite.passthrough, suite.headers, suite.agent_loops)]
            for job in jobs:
                score.case(None, job.result)
        score.case("an app's key stays here", suite.credentials)
    score.finish()


main()
