"""Agent frameworks at their default settings under levers: `frameworks.py SET`, of those that share a version of the openai SDK."""

import asyncio
import concurrent.futures
import functools
import gc
import logging
import os
import pathlib
import ssl
import sys
import warnings
from importlib.metadata import version

# Behind the installed packages, one of which has the name of a suite.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

# Every client reads the platform's roots when it is made. No case uses TLS, and reading them once saves a minute.
ssl.create_default_context = functools.cache(ssl.create_default_context)
# Its prices come from the network otherwise.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import kills
import stage as theatre
from asking import To
from score import CASES, Score

warnings.filterwarnings("ignore")
# LiteLLM leaves streams to the collector, which closes them wherever it happens to run. Where it runs while its own thread has
# the lock of httpcore's pool, that thread waits for itself.
gc.disable()


def weather(city: str) -> str:
    """The weather of a city."""
    return "rain"


def clock(city: str) -> str:
    """The time in a city."""
    return "noon"


TOOLS = [weather, clock]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CHAT_TOOLS = [{"type": "function", "function": {"name": tool.__name__, "parameters": SCHEMA}} for tool in TOOLS]

# These run the tools that are called, and send the results.
RUN_TOOLS = {
    "openai-agents chat", "openai-agents chat, stream", "openai-agents responses", "openai-agents responses, stream",
    "pydantic-ai chat", "pydantic-ai responses",
}


def user(prompt):
    return [{"role": "user", "content": prompt}]


def with_openai_2():
    """The clients of this set, as the other suites have them, and the packages."""
    import litellm
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai import OpenAI

    litellm.suppress_debug_info = True

    class Llama(OpenAI):
        """Of a model that it does not know it does not know whether it takes tools, and asks nobody."""

        @property
        def metadata(self):
            return OpenAI(model="gpt-4o", api_key="none").metadata

    def completion(to, prompt, family, **more):
        path = {"openai": "/v1", "anthropic": ""}[family]
        return litellm.completion(
            model=f"{family}/{to.model(family)}", api_base=to.url(path), api_key=to.key, messages=user(prompt), tools=CHAT_TOOLS, **more)

    def litellm_whole(family):
        return lambda to, prompt: completion(to, prompt, family).model_dump(mode="json", warnings=False)

    def litellm_stream(family):
        def ask(to, prompt):
            chunks = []
            for chunk in completion(to, prompt, family, stream=True):
                to.text += chunk.choices[0].delta.content or ""
                chunks.append(chunk.model_dump(mode="json", warnings=False))
            return chunks

        return ask

    def llama(to):
        return Llama(model=to.model("openai"), api_base=to.url("/v1"), api_key=to.key)

    def llama_told(answer):
        return [answer.message.model_dump(mode="json", warnings=False), [str(call) for call in answer.message.additional_kwargs.get("tool_calls", [])]]

    def llama_whole(to, prompt):
        return llama_told(llama(to).chat([ChatMessage(content=prompt)], tools=CHAT_TOOLS))

    def llama_stream(to, prompt):
        for answer in llama(to).stream_chat([ChatMessage(content=prompt)], tools=CHAT_TOOLS):
            to.text += answer.delta or ""
        return llama_told(answer)

    return [
        ("litellm openai", "openai", "openai-chat", False, litellm_whole("openai")),
        ("litellm openai, stream", "openai", "openai-chat", True, litellm_stream("openai")),
        ("litellm anthropic", "anthropic", "anthropic", False, litellm_whole("anthropic")),
        ("litellm anthropic, stream", "anthropic", "anthropic", True, litellm_stream("anthropic")),
        ("llama-index openai", "openai", "openai-chat", False, llama_whole),
        ("llama-index openai, stream", "openai", "openai-chat", True, llama_stream),
    ], ["litellm", "llama-index-llms-openai", "openai"]


def with_openai_3():
    """The same."""
    import agents
    import openai
    import pydantic_ai
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    agents.set_tracing_disabled(True)

    def agent(to, kind):
        client = openai.AsyncOpenAI(base_url=to.url("/v1"), api_key=to.key)
        return agents.Agent(name="helper", model=kind(to.model("openai"), client), tools=[agents.function_tool(tool) for tool in TOOLS])

    def agents_whole(kind):
        def ask(to, prompt):
            answer = asyncio.run(agents.Runner.run(agent(to, kind), prompt))
            return [answer.final_output, answer.to_input_list()[1:]]

        return ask

    def agents_stream(kind):
        async def run(to, prompt):
            answer = agents.Runner.run_streamed(agent(to, kind), prompt)
            async for event in answer.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    to.text += event.data.delta
            return [answer.final_output, answer.to_input_list()[1:]]

        return lambda to, prompt: asyncio.run(run(to, prompt))

    def pydantic(to, kind):
        provider = OpenAIProvider(base_url=to.url("/v1"), api_key=to.key)
        return pydantic_ai.Agent(kind(to.model("openai"), provider=provider), tools=TOOLS)

    def pydantic_told(answer):
        return [part for message in answer.new_messages()[1:] for part in map(str, message.parts)]

    def pydantic_whole(kind):
        return lambda to, prompt: pydantic_told(asyncio.run(pydantic(to, kind).run(prompt)))

    def pydantic_stream(kind):
        async def run(to, prompt):
            async with pydantic(to, kind).run_stream(prompt) as answer:
                async for text in answer.stream_text(delta=True, debounce_by=None):
                    to.text += text
                return pydantic_told(answer)

        return lambda to, prompt: asyncio.run(run(to, prompt))

    clients = []
    for dialect, agents_kind, pydantic_kind in (
        ("openai-chat", agents.OpenAIChatCompletionsModel, OpenAIChatModel),
        ("openai-responses", agents.OpenAIResponsesModel, OpenAIResponsesModel),
    ):
        _, word = dialect.split("-")
        clients += [
            (f"openai-agents {word}", "openai", dialect, False, agents_whole(agents_kind)),
            (f"openai-agents {word}, stream", "openai", dialect, True, agents_stream(agents_kind)),
            (f"pydantic-ai {word}", "openai", dialect, False, pydantic_whole(pydantic_kind)),
            (f"pydantic-ai {word}, stream", "openai", dialect, True, pydantic_stream(pydantic_kind)),
        ]
    return clients, ["openai-agents", "pydantic-ai-slim", "openai"]


SETS = {"openai2": with_openai_2, "openai3": with_openai_3}


def main():
    clients, packages = SETS[sys.argv[1]]()
    # What they log about exceptions that they also raise.
    logging.disable()
    score = Score(f"Frameworks, {sys.argv[1]}", ", ".join(f"{package} {version(package)}" for package in packages))
    with theatre.Stage() as stage:
        for *_, ask in clients:
            # Some import more when they are asked first, which must not happen in two threads at once.
            ask(To(stage.addresses["mock"]), CASES["prompts"]["text"])
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            jobs = [pool.submit(kills.under_way, stage, score, client, number) for number, client in enumerate(clients)]
            jobs += [
                pool.submit(kills.of_tools, stage, score, client, number, 2 if client[0] in RUN_TOOLS else 1)
                for number, client in enumerate(clients)]
            for job in jobs:
                score.case(None, job.result)
    score.finish()


main()
