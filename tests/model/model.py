"""A real model's answers through the gateway: the same as directly, whole, and cut honestly."""

import concurrent.futures
import glob
import json
import os
import pathlib
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
QUESTION = [{"role": "user", "content": "Write a long story about a lighthouse keeper and his dog."}]
FIXED = {"model": "smollm2", "messages": QUESTION, "seed": 7, "temperature": 0, "max_tokens": 60}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(url, process):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read()
        except OSError:
            if process.poll() is not None:
                raise SystemExit(f"{process.args[0]} ended with {process.returncode}")
            time.sleep(0.2)
    raise SystemExit(f"nothing answers at {url}")


def serve_model():
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "llama_cpp.server", "--model", WEIGHTS[0], "--port", str(port),
         "--model_alias", "smollm2", "--interrupt_requests", "false", "--n_ctx", "1024"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait(f"http://127.0.0.1:{port}/v1/models", process)
    return process, port


def serve_gateway(port, folder):
    routes = pathlib.Path(folder) / "routes.toml"
    routes.write_text(
        '[server]\nlisten = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\ndata_dir = "data"\n'
        f'[providers.local]\ndialect = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
        '[[routes]]\nname = "local"\ntargets = [{ provider = "local" }]\nretry = { attempts = 1 }\n')
    process = subprocess.Popen([BINARY, "serve", "--config", str(routes)], stderr=subprocess.DEVNULL)
    listen = pathlib.Path(folder) / "data/listen.json"
    until = time.monotonic() + 20
    while not listen.exists() and time.monotonic() < until:
        time.sleep(0.02)
    return process, json.loads(listen.read_text())["data"][0]


def client(address):
    return openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0)


def whole(address):
    answer = client(address).chat.completions.create(**FIXED)
    return answer.choices[0].message.content, answer.choices[0].finish_reason, answer.usage.total_tokens


def streamed(address):
    text, finish, pieces = "", None, 0
    for chunk in client(address).chat.completions.create(**FIXED, stream=True):
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
        pieces += 1
    return text, finish, pieces


class Score:
    passed = failed = 0

    def case(self, name, check):
        try:
            check()
            self.passed += 1
            print(f"ok   {name}", flush=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, the case failed
            self.failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {str(error)[:500]}", flush=True)


def equal(a, b):
    assert a == b, f"{a!r} is not {b!r}"


def main():
    score = Score()
    with tempfile.TemporaryDirectory() as folder:
        model, port = serve_model()
        gateway, through = serve_gateway(port, folder)
        direct = f"127.0.0.1:{port}"
        try:
            whole(direct), streamed(direct)  # a warm server repeats itself exactly
            score.case("a whole answer is the same", lambda: equal(whole(through), whole(direct)))
            score.case("a streamed answer is the same, piece for piece", lambda: equal(streamed(through), streamed(direct)))
            score.case("a stream says what the whole answer says", lambda: equal(streamed(through)[0], whole(through)[0]))

            # Before several ask at once: what the server keeps of one prompt changes what it says to the next.
            def again():
                def replay(*more):
                    command = [BINARY, "replay", "--data-dir", f"{folder}/data", "--config", f"{folder}/routes.toml",
                               "--output", "json", *more]
                    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
                    assert done.returncode == 0, done.stderr
                    return json.loads(done.stdout)["summary"]

                # An end is on disk within a moment.
                until = time.monotonic() + 30
                while "no_end" in replay()["why"]:
                    assert time.monotonic() < until, "an exchange has no end on record"
                    time.sleep(0.1)
                summary = replay("--live", "as-is", "--gate", f"http://{through}", "--concurrency", "1")
                equal([summary[name] for name in ("unanswered", "text_differs", "status_differs", "unsent")], [0] * 4)
                assert summary["requests"] >= 4, summary

            score.case("recorded requests are answered the same when they are replayed live", again)

            def at_once():
                with concurrent.futures.ThreadPoolExecutor(4) as pool:
                    answers = list(pool.map(lambda _: streamed(through), range(4)))
                assert all(text and finish in ("length", "stop") for text, finish, _ in answers), answers

            score.case("several streams at once are all whole", at_once)

            def leaves():
                stream = client(through).chat.completions.create(**{**FIXED, "max_tokens": 400}, stream=True)
                for _, _ in zip(range(5), stream):
                    pass
                stream.close()
                assert streamed(through)[1] in ("length", "stop")

            score.case("after a client left, the next is served", leaves)
        finally:
            model.kill()
            model.wait()
        score.case("a model that is gone is an error, not silence", lambda: raises(through))
        gateway.kill()
        gateway.wait()
    with tempfile.TemporaryDirectory() as folder:
        model, port = serve_model()
        gateway, through = serve_gateway(port, folder)
        try:
            def dies():
                stream = client(through).chat.completions.create(**{**FIXED, "max_tokens": 800}, stream=True)
                for _, _ in zip(range(5), stream):
                    pass
                model.kill()
                try:
                    for _ in stream:
                        pass
                except openai.APIError as error:
                    assert "provider" in str(error), error
                else:
                    raise AssertionError("a cut stream was taken for a whole answer")

            score.case("a model that dies in the middle of an answer raises", dies)
        finally:
            for process in (gateway, model):
                process.kill()
                process.wait()
    print(f"{score.passed} passed, {score.failed} failed")
    sys.exit(1 if score.failed else 0)


def raises(address):
    try:
        whole(address)
    except openai.APIStatusError as error:
        assert error.status_code in (502, 503), error.status_code
    else:
        raise AssertionError("no exception")


main()
