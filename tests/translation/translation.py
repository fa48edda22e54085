"""Every dialect's official SDK through the gateway, at providers of every other dialect."""

import collections
import concurrent.futures
import itertools
import logging
import sys
import threading
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
assert len(PAIRS) == 20, PAIRS
# How many checks of each part are made at least of each pair; under levers a dialect is paired with itself too.
LEAST = {"answers": 32, "errors": 14, "requests": 5, "levers": 5, "node": 4, "node, own": 1}
# In which of its APIs one that speaks OpenAI's is asked, whoever asks.
QUIRKS = {"openai-chat": "no-responses", "openai-responses": "no-chat"}


def routes(address):
    """A provider of each dialect; what is asked of it begins with its name."""
    text = theatre.SERVER
    for source, slot in itertools.product(tapes.PROVIDERS, ["m", *(f"e{number}" for number in range(FAILING))]):
        name = f"{source}-{slot}"
        family = tapes.own(source)
        base = f"http://{address}/v1" if family == "openai" else f"http://{address}"
        quirks = f'quirks = ["{QUIRKS[source]}"]\n' if source in QUIRKS else ""
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
        if member == "reasoning":
            # Parts of it are joined by an empty line where the dialect has one text.
            got, wanted = got.replace("\n\n", ""), wanted.replace("\n\n", "")
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
        self.made, self.lock = collections.Counter(), threading.Lock()

    def case_of(self, part, *whose):
        """Runs checks and counts them for a part of the suite and a pair."""
        self.made[part, whose] += 0

        def case(name, check):
            with self.lock:
                self.made[part, whose] += 1
            self.score.case(name, check)

        return case

    def count(self):
        """Nothing may get lost in silence."""
        for (part, whose), made in sorted(self.made.items()):
            def check():
                assert made >= LEAST[part], f"{made}"

            self.score.case(f"{part} of {' for '.join(whose)}: at least {LEAST[part]} checks, {made} made", check)

    def choose(self):
        with concurrent.futures.ThreadPoolExecutor(len(tapes.PROVIDERS)) as pool:
            for source, chosen in zip(tapes.PROVIDERS, pool.map(lambda s: list(tapes.choose(s, self.stage.provider)), tapes.PROVIDERS)):
                self.tapes[source] = chosen
        for source, chosen in self.tapes.items():
            for kind, least in tapes.LEAST[source].items():
                of_kind = [tape for tape in chosen if tape.kind == kind]

                def check():
                    has = collections.Counter(tape.has for tape in of_kind)
                    assert len(of_kind) >= least, f"{len(of_kind)} of {least}: {dict(has)}"
                    assert has["text"] and (has["one call"] or has["text and call"]) and has["two tools"], f"of what is needed: {dict(has)}"

                self.score.case(f"{source}, {kind}: {len(of_kind)} recordings, at least {least}", check)

    def stream_of(self, source):
        """The stream of text with the most pieces that the dialect's own provider sent: others leave out what some SDKs need."""
        texts = [
            tape for tape in self.tapes[source]
            if tape.kind == tapes.STREAM and tape.told.stop == "end" and tape.told.text and tape.name.startswith(f"{tapes.own(source)}.")]
        return max(texts, key=lambda tape: len(tape.play.pieces))

    def answers(self, source, caller):
        case = self.case_of("answers", source, caller)
        for tape in self.tapes[source]:
            for how in callers.HOW[caller] if tape.kind == tapes.STREAM else ("whole",):
                if (caller, how, tape.has) == ("openai-chat", "helper", tapes.FREE_TEXT):
                    # It cannot put such a stream together, its own provider's included.
                    continue

                def check():
                    model = self.stage.model(source, tape.play)
                    same(callers.ASK[caller](self.at, model, how), tape.told)
                    assert len(self.stage.provider.asked(model)) == 1, "it asked more than once"

                case(f"{source} for {caller}, {how}: {tape.has}, {tape.name}", check)

    def errors(self, source, caller):
        case = self.case_of("errors", source, caller)
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

                case(f"{source} for {caller}, {how}: error {status}", check)
        tape = self.stream_of(source)
        said = "overloaded just now"
        endings = [(label, said, [frame]) for label, frame in tapes.error_frames(source, said).items()] + [("nothing", "", [])]
        for label, message, frames in endings:
            for how in callers.HOW[caller]:
                def check():
                    model = self.stage.failing_model(source, tapes.broken(tape, *frames))
                    try:
                        told = callers.ASK[caller](self.at, model, how)
                    except Exception as error:  # noqa: BLE001
                        assert isinstance(error, callers.RAISES_WITHIN[caller]), f"{type(error).__name__}: {error}"
                        assert message in str(error), f"not what the provider said ({message}): {error}"
                    else:
                        raise AssertionError(f"taken for an answer: {told}")

                case(f"{source} for {caller}, {how}: a stream ends with {label}", check)


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
                jobs += [pool.submit(levers.run, stage, suite, caller) for caller in callers.ASK]
            if "node" in parts:
                jobs += [pool.submit(node.run, nodes, stage, suite, client) for client in node.CLIENTS]
            if "requests" in parts:
                jobs += [
                    pool.submit(prompts.run, stage, suite.case_of("requests", *pair), suite.stream_of(pair[0]).play, *pair)
                    for pair in PAIRS]
            if "answers" in parts:
                jobs += [pool.submit(suite.answers, *pair) for pair in PAIRS]
            for job in jobs:
                score.case(None, job.result)
        suite.count()
    print(f"-- done after {time.monotonic() - began:.0f} s")
    score.finish()


main()
