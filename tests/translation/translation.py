"""Every dialect's official SDK through the gateway, at providers of every other dialect."""

import concurrent.futures
import itertools
import logging
import sys
import time
import warnings
from importlib.metadata import version

import callers
import levers
import node
import prompts
import score as scores
import stage as theatre
import tapes
import upstream

warnings.filterwarnings("ignore")
# What SDKs log about exceptions that they also raise.
logging.disable()
# Providers of each dialect that are made to fail, so that no circuit opens in a case because of another one.
FAILING = 40
PAIRS = [(source, caller) for source in tapes.PROVIDERS for caller in callers.ASK if source != caller]


def routes(address):
    """A provider of each dialect; what is asked of it begins with its name."""
    text = theatre.SERVER
    for source, slot in itertools.product(tapes.PROVIDERS, ["m", *(f"e{number}" for number in range(FAILING))]):
        name = f"{source}-{slot}"
        family = "openai" if source == "openai-chat" else source
        base = f"http://{address}/v1" if family == "openai" else f"http://{address}"
        quirks = 'quirks = ["no-responses"]\n' if family == "openai" else ""
        text += f'[providers.{name}]\ndialect = "{family}"\nbase_url = "{base}"\napi_key = "{theatre.PROVIDER_KEY}"\n{quirks}'
        text += (
            f'[[routes]]\nname = "{name}"\nmatch = {{ model = "{name}-*" }}\ntargets = [{{ provider = "{name}" }}]\n'
            "retry = { attempts = 1 }\n")
    return text


class Stage(theatre.Stage):
    """The provider, and a gateway in front of it."""

    def __enter__(self):
        if not theatre.RECORDINGS.is_dir():
            raise SystemExit(f"no recorded traffic at {theatre.RECORDINGS}: set FIREDOOR_DATA to the folder that holds wire/")
        self.provider = upstream.Upstream().__enter__()
        self.gateways = {"open": theatre.Gateway(routes(self.provider.address))}
        self.addresses = {"open": self.gateways["open"].address}
        self.shell = theatre.Shell(self.gateways["open"])
        self.open_taps()
        self.numbers = itertools.count()
        self.failing = {source: itertools.count() for source in tapes.PROVIDERS}
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.gateways["open"].stop()
        self.provider.__exit__()

    def model(self, source, play):
        """The name of a new model at the provider of this dialect, which answers so."""
        return self.provider.stage(f"{source}-m-{next(self.numbers)}", play)

    def failing_model(self, source, play):
        """The same at a provider of its own."""
        slot = next(self.failing[source])
        assert slot < FAILING, "there are too few providers that may fail"
        return self.provider.stage(f"{source}-e{slot}-{next(self.numbers)}", play)


def same(told, expected):
    for member in ("text", "calls", "stop", "tokens", "reasoning"):
        got, wanted = getattr(told, member), getattr(expected, member)
        if member == "tokens" and wanted is None:
            continue
        assert got == wanted, f"{member}: {got!r} instead of {wanted!r}"
    assert len(set(told.ids)) == len(told.ids), f"ids of calls: {told.ids}"
    assert all(told.ids), f"ids of calls: {told.ids}"


class Suite:
    def __init__(self, stage, score):
        self.stage, self.score = stage, score
        self.at = stage.addresses["open"]
        self.tapes = {}

    def choose(self):
        with concurrent.futures.ThreadPoolExecutor(len(tapes.PROVIDERS)) as pool:
            for source, chosen in zip(tapes.PROVIDERS, pool.map(lambda s: list(tapes.choose(s, self.stage.provider)), tapes.PROVIDERS)):
                self.tapes[source] = chosen
        for source, chosen in self.tapes.items():
            def check():
                has = {(tape.kind == "stream", tape.has) for tape in chosen}
                missing = [kind for kind in (True, False) for want in ("text",) if (kind, want) not in has]
                calls = [tape for tape in chosen if tape.told.calls]
                assert not missing and calls, f"too few recordings: {sorted(has)}"

            self.score.case(f"{source}: recordings of each kind", check)

    def stream_of(self, source):
        """The stream of text with the most pieces that the dialect's own provider sent: others leave out what some SDKs need."""
        texts = [
            tape for tape in self.tapes[source]
            if tape.kind == "stream" and tape.told.stop == "end" and tape.told.text and tape.name.startswith(f"{tapes.own(source)}.")]
        return max(texts, key=lambda tape: len(tape.play.pieces))

    def answers(self, source, caller):
        for tape in self.tapes[source]:
            for how in callers.HOW[caller] if tape.kind == "stream" else ("whole",):
                def check():
                    model = self.stage.model(source, tape.play)
                    same(callers.ASK[caller](self.at, model, how), tape.told)
                    assert len(self.stage.provider.asked(model)) == 1, "it asked more than once"

                self.score.case(f"{source} for {caller}, {how}: {tape.has}, {tape.name}", check)

    def errors(self, source, caller):
        for status, (play, message) in tapes.errors(source).items():
            for how in ("whole", callers.HOW[caller][-1]):
                def check():
                    make = self.stage.failing_model if status >= 500 else self.stage.model
                    model = make(source, play)
                    try:
                        told = callers.ASK[caller](self.at, model, how)
                    except Exception as error:  # noqa: BLE001 - it is the result
                        assert callers.is_raised(caller, error, status), f"{type(error).__name__}: {error}"
                        assert message[:80] in str(error), f"not what the provider said ({message}): {error}"
                    else:
                        raise AssertionError(f"no exception: {told}")

                self.score.case(f"{source} for {caller}, {how}: error {status}", check)
        tape = self.stream_of(source)
        for label, message in (("ends with an error", "overloaded just now"), ("ends with nothing", "")):
            for how in callers.HOW[caller]:
                def check():
                    model = self.stage.failing_model(source, tapes.broken(tape, message))
                    try:
                        told = callers.ASK[caller](self.at, model, how)
                    except Exception as error:  # noqa: BLE001
                        assert isinstance(error, callers.RAISES_WITHIN[caller]), f"{type(error).__name__}: {error}"
                        assert message in str(error), f"not what the provider said ({message}): {error}"
                    else:
                        raise AssertionError(f"taken for an answer: {told}")

                self.score.case(f"{source} for {caller}, {how}: a stream {label}", check)


def main():
    parts = sys.argv[1:] or ["answers", "errors", "requests", "levers", "node"]
    packages = ["openai", "anthropic", "google-genai", "boto3"]
    score = scores.Score("Translation", ", ".join(f"{package} {version(package)}" for package in packages))
    print(score.versions)
    began = time.monotonic()
    with Stage() as stage, node.Node() as nodes:
        suite = Suite(stage, score)
        suite.choose()
        print(f"-- chosen after {time.monotonic() - began:.0f} s")
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            jobs = []
            if "errors" in parts:
                # These wait most: SDKs ask again.
                jobs += [pool.submit(suite.errors, *pair) for pair in PAIRS]
            if "levers" in parts:
                jobs += [pool.submit(levers.run, stage, score, suite, caller) for caller in callers.ASK]
            if "node" in parts:
                jobs += [pool.submit(node.run, nodes, stage, score, suite, client) for client in node.CLIENTS]
            if "requests" in parts:
                jobs += [pool.submit(prompts.run, stage, score, suite.stream_of(pair[0]).play, *pair) for pair in PAIRS]
            if "answers" in parts:
                jobs += [pool.submit(suite.answers, *pair) for pair in PAIRS]
            for job in jobs:
                score.case(None, job.result)
    print(f"-- done after {time.monotonic() - began:.0f} s")
    score.finish()


main()
