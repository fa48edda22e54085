"""The record as others read it: DuckDB, the official SDKs on the tape, the commands.

A simulated provider answers through the gateway; then everything is asked of the record alone.
"""

import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import anthropic
import duckdb
import openai
import pyrage

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ["FIREDOOR_BIN"]
PATIENCE_SECONDS = 60
TOOLS = [
    {
        "type": "function",
        "function": {"name": "lookup", "parameters": {"type": "object", "properties": {"id": {"type": "string"}}}},
    }
]

passed, failed = 0, 0


def check(name, holds, told=""):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    print(f"{'ok  ' if holds else 'FAIL'} {name}{'' if holds else f': {told}'}", flush=True)


def start(arguments, pattern, folder):
    """Starts a command and waits for the line that says where it listens."""
    log = open(folder / f"{arguments[0]}.log", "w+")
    process = subprocess.Popen([BINARY, *arguments], stdout=log, stderr=log, cwd=folder)
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        found = re.search(pattern, pathlib.Path(log.name).read_text())
        if found:
            return process, found.group(1)
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"{arguments[0]} does not listen: {pathlib.Path(log.name).read_text()}")


def run(folder, *arguments):
    return subprocess.run([BINARY, *arguments], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS)


def ask_openai(base, number):
    """What the application sees: text, tool calls, usage, of a stream and of a whole answer."""
    client = openai.OpenAI(base_url=f"{base}/v1", api_key="key-of-the-caller", max_retries=0)
    prompt = f"mock:tokens=12,itl_ms=5; question {number}"
    messages = [{"role": "user", "content": prompt}]
    with client.chat.completions.create(model="gpt-4o", messages=messages, stream=True) as stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    whole = client.chat.completions.create(model="gpt-4o", messages=messages)
    called = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": f"mock:tool=lookup; question {number}"}], tools=TOOLS
    )
    calls = [(call.function.name, call.function.arguments) for call in called.choices[0].message.tool_calls or []]
    return text, whole.choices[0].message.content, whole.usage.total_tokens, calls


def ask_anthropic(base, number):
    client = anthropic.Anthropic(base_url=base, api_key="key-of-the-caller", max_retries=0)
    prompt = f"mock:tokens=12,itl_ms=5; question {number}"
    asked = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": prompt}]}
    with client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    whole = client.messages.create(**asked)
    return final.content[0].text, final.usage.output_tokens, whole.content[0].text, whole.stop_reason


def duck(folder):
    """The queries of docs/evidence.md, on segments that are being written."""
    text = (ROOT / "docs/evidence.md").read_text()
    queries = re.findall(r"```sql\n(.*?)```", text, re.S)
    check("docs/evidence.md has queries for DuckDB", len(queries) >= 2, len(queries))
    rows = []
    os.chdir(folder / "data/evidence")
    for at, query in enumerate(queries):
        try:
            rows.append(duckdb.sql(query).fetchall())
            check(f"DuckDB runs query {at + 1}", rows[-1], rows[-1])
        except duckdb.Error as error:
            check(f"DuckDB runs query {at + 1}", False, error)
    os.chdir(ROOT / "tests/evidence/v2")
    kinds = duckdb.sql(
        "SELECT kind, count(*) FROM read_json('seg-*.ndjson.zst', format = 'newline_delimited', "
        "compression = 'zstd', columns = { kind: 'VARCHAR' }) GROUP BY ALL"
    ).fetchall()
    told = dict(kinds)
    check("DuckDB reads segments from which lines were erased", (told.get("erased"), told.get("reseal")) == (4, 2), kinds)
    os.chdir(folder)
    return rows


def sealed(folder, capture, lines):
    """What only its recipient reads, by an age library and by the command."""
    folder = folder / capture
    folder.mkdir()
    identity = pyrage.x25519.Identity.generate()
    (folder / "key.txt").write_text(f"# created: today\n{identity}\n")
    (folder / "routes.toml").write_text(
        f'[server]\nlisten = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\ndata_dir = "data"\n'
        f'[providers.sim]\ndialect = "simulated"\n'
        f'[[routes]]\nname = "all"\ntargets = [{{ provider = "sim" }}]\n'
        f'capture = "{capture}"\noriginals_to = ["{identity.to_public()}"]\n'
    )
    gate, gate_at = start(["serve"], r"data +http://(127\.0\.0\.1:\d+)", folder)
    client = openai.OpenAI(base_url=f"http://{gate_at}/v1", api_key="key-of-the-caller", max_retries=0)
    question = "a question of " + "many words " * 40_000
    raw = client.chat.completions.with_raw_response.create(
        model="m", messages=[{"role": "user", "content": question}]
    )
    exchange = raw.headers["x-firedoor-exchange"]
    gate.terminate()
    gate.wait()
    rows = duckdb.sql(
        f"""SELECT age FROM read_json('{folder}/data/evidence/seg-*.zst', format = 'newline_delimited', union_by_name = true)
        WHERE {lines} AND exchange = '{exchange}' ORDER BY seq"""
    ).fetchall()
    body = b"".join(pyrage.decrypt(base64.b64decode(age), [identity]) for (age,) in rows)
    try:
        check(f"an age library opens what is {capture}", json.loads(body)["messages"][0]["content"] == question, len(rows))
    except ValueError as error:
        check(f"an age library opens what is {capture}", False, error)
    found = run(folder, "evidence", "unseal", exchange, "--identity", "key.txt")
    try:
        told = json.loads(found.stdout)
        check(f"the command opens the same of what is {capture}", told["request"]["text"].encode() == body, found.stderr[:300])
    except ValueError:
        check(f"the command opens the same of what is {capture}", False, found.stdout[:300] + found.stderr[:300])


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="firedoor-readers-"))
    mock, mock_at = start(["mock", "--listen", "127.0.0.1:0"], r"(127\.0\.0\.1:\d+)", folder)
    (folder / "routes.toml").write_text(
        f'[server]\nlisten = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\ndata_dir = "data"\n'
        f'[providers.openai]\ndialect = "openai"\nbase_url = "http://{mock_at}/v1"\n'
        f'[providers.anthropic]\ndialect = "anthropic"\nbase_url = "http://{mock_at}"\n'
        f'[[routes]]\nname = "chat"\nmatch = {{ dialect = "openai-chat" }}\ntargets = [{{ provider = "openai" }}]\n'
        f'[[routes]]\nname = "messages"\nmatch = {{ dialect = "anthropic" }}\ntargets = [{{ provider = "anthropic" }}]\n'
    )
    gate, gate_at = start(["serve"], r"data +http://(127\.0\.0\.1:\d+)", folder)
    numbers = range(3)
    direct = [(ask_openai(f"http://{gate_at}", n), ask_anthropic(f"http://{gate_at}", n)) for n in numbers]
    time.sleep(1.5)

    rows = duck(folder)
    check("DuckDB sees every exchange", rows and sum(row[-1] for row in rows[0]) == 5 * len(numbers), rows[:1])

    found = run(folder, "session", "search", "outcome:completed", "-o", "json")
    try:
        items = json.loads(found.stdout)
        items = items.get("items", items) if isinstance(items, dict) else items
        check("session search finds every exchange", len(items) == 5 * len(numbers), found.stdout[:300])
    except ValueError:
        check("session search answers in JSON", False, found.stdout[:300] + found.stderr[:300])
    found = run(folder, "session", "search", "tool:lookup", "-o", "json")
    check("session search finds a tool", found.stdout.count('"id": "x_') == len(numbers), found.stdout + found.stderr[:300])

    for speed in ["max", "1"]:
        tape, tape_at = start(
            ["tape", "--listen", "127.0.0.1:0", "--speed", speed], r"(127\.0\.0\.1:\d+)", folder
        )
        try:
            for number in numbers:
                from_tape = (ask_openai(f"http://{tape_at}", number), ask_anthropic(f"http://{tape_at}", number))
                check(f"the tape says the same to openai, speed {speed}", from_tape[0] == direct[number][0], from_tape[0])
                check(f"the tape says the same to anthropic, speed {speed}", from_tape[1] == direct[number][1], from_tape[1])
            try:
                ask_openai(f"http://{tape_at}", 99)
                check("the tape invents nothing", False, "it answered")
            except openai.NotFoundError as error:
                check("the tape invents nothing", True, error)
        except (openai.OpenAIError, anthropic.AnthropicError) as error:
            check(f"the SDKs are served by the tape, speed {speed}", False, error)
        finally:
            tape.terminate()
            tape.wait()

    again = run(folder, "replay")
    check("replay: everything is the same", again.returncode == 0, again.stdout[-600:] + again.stderr[-300:])
    gate.terminate()
    gate.wait()
    mock.terminate()
    mock.wait()
    whole = run(folder, "evidence", "verify")
    check("the record is whole", whole.returncode == 0, whole.stdout[-300:] + whole.stderr[-300:])
    sealed(folder, "redacted", "kind = 'original' AND \"of\" = 'request'")
    sealed(folder, "sealed", "kind = 'request'")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
