"""Claude Code and Codex CLI as they are installed, in an empty home, through the gateway."""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import stage as theatre
from score import CASES, Score, cell

NODE_MODULES = pathlib.Path(sys.argv[1]) / "node_modules"
PLAIN = "Say it. mock:text=All%20is%20well.;"
# What is asked again for minutes is stopped here, and noted as such.
PATIENCE_SECONDS = 25


class Agent:
    def __init__(self, name, family, model, program, final, killed):
        """How often it asks where the answer is a `final` 400, and where its stream is `killed` and the rest refused."""
        self.name, self.family, self.model, self.final, self.killed = name, family, model, final, killed
        self.program = str(NODE_MODULES / program)

    def command(self, address, prompt, model, key):
        """The command line and the environment: nothing of the machine's own."""
        if self.family == "anthropic":
            return (
                [self.program, "-p", prompt, "--model", model],
                {"ANTHROPIC_BASE_URL": f"http://{address}", "ANTHROPIC_API_KEY": key, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
            )
        provider = f'{{name="firedoor",base_url="http://{address}/v1",env_key="KEY",wire_api="responses"}}'
        options = ["-c", 'model_provider="firedoor"', "-c", f"model_providers.firedoor={provider}"]
        return [self.program, "exec", "--skip-git-repo-check", "-m", model, *options, prompt], {"KEY": key}

    def run(self, address, prompt, model=None, key="test-key", note=None):
        """Exit code (None: it was stopped) and all it printed."""
        with tempfile.TemporaryDirectory(prefix="firedoor-agent-", ignore_cleanup_errors=True) as home:
            if note:
                (pathlib.Path(home) / "note.txt").write_text(note)
            command, settings = self.command(address, prompt.replace("HOME", home), model or self.model, key)
            path = f"{NODE_MODULES / '.bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}"
            process = subprocess.Popen(
                command, env={"HOME": home, "PATH": path, **settings}, cwd=home, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
            try:
                said, _ = process.communicate(timeout=PATIENCE_SECONDS)
                return process.returncode, said
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                return None, process.communicate()[0]


AGENTS = [
    # 2.1.332: after any 400 it leaves out one beta feature after another, within a second, and then says what it was told.
    Agent("Claude Code", "anthropic", "claude-haiku-4-5", "@anthropic-ai/claude-code/bin/claude.exe", 6, 4),
    # 2.1.197: a 400 is final, and a stream that ended with an error is asked for once more.
    Agent("Claude Code, earlier", "anthropic", "claude-haiku-4-5", "claude-code-earlier/bin/claude.exe", 1, 2),
    # 0.171.0.
    Agent("Codex", "openai", "gpt-4o", ".bin/codex", 1, 1),
]


def spend(address, key):
    """Uses up the one request that an app has in a minute."""
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}).encode()
    request = urllib.request.Request(
        f"http://{address}/v1/chat/completions", body, {"authorization": f"Bearer {key}", "content-type": "application/json"})
    urllib.request.urlopen(request, timeout=10).read()


class Suite:
    def __init__(self, stage, score):
        self.stage, self.score = stage, score

    def measured(self, agent, column, tap, prompt, **more):
        code, said = agent.run(tap.address, prompt, **more)
        ending = "still asking" if code is None else f"exit {code}"
        # How often it asked in the end is chance where it was stopped.
        self.score.note(agent.name, column, cell("more" if code is None else tap.requests, ending))
        assert code != 0, f"no error: {said[-300:]}"
        return tap.requests, said

    def works(self, agent):
        def plain():
            seen = []
            for where in ("mock", "open"):
                tap = self.stage.tap(where)
                code, said = agent.run(tap.address, PLAIN)
                assert code == 0 and "All is well." in said, said[-600:]
                seen.append(tap.requests)
            assert seen == [1, 1], seen

        def tool():
            # It reads a file, sends what is in it, and gets text. Codex has no such tool by this name.
            script = "Read it. mock:tool=Read:{%22file_path%22:%22HOME/note.txt%22};"
            tap = self.stage.tap("open")
            code, said = agent.run(tap.address, script, note="the-note " * 900)
            assert code == 0 and "simulated" in said, said[-600:]
            assert tap.requests == 2, f"{tap.requests} requests"
            first, second = (request["body_bytes"] for request in self.stage.mock.get("/requests")[-2:])
            assert second > first + 8000, f"the file is not in the second request: {first} and {second} bytes"

        self.score.case(f"{agent.name}: a plain answer", plain)
        if agent.family == "anthropic":
            self.score.case(f"{agent.name}: a tool's call and its result", tool)

    def refusals(self, agent, slot):
        for label in CASES["refusals"]:
            def check():
                key, where = "test-key", "apps" if "app" in label else "open"
                if label == "limit of the app":
                    key = theatre.app_key(slot)
                    spend(self.stage.addresses["apps"], key)
                model = {"unknown model": "nobody-knows-it", "no provider": f"{agent.model}-down"}.get(label)
                tap = self.stage.tap(where, corrupt=label == "bad body")
                requests, said = self.measured(agent, label, tap, PLAIN, model=model, key=key)
                if label in ("limit of the app", "bad body"):
                    assert requests == agent.final, f"{requests} requests"
                    assert any(word in said for word in CASES["refusals"][label]["words"]), said[-600:]
                    assert "(ref x_" in said, said[-600:]

            self.score.case(f"{agent.name}: refused, {label}", check)

    def cuts(self, agent, slots):
        # It asks again and again: each case has targets of its own, whose circuits opened in none before it.
        for (label, expected), slot in zip(CASES["cuts"].items(), slots):
            def check():
                prompt = f"Say it. mock:tokens=30,{expected['script']};"
                self.measured(agent, label, self.stage.tap("open"), prompt, model=f"{agent.model}-{slot}")

            self.score.case(f"{agent.name}: cut, {label}", check)

    def kills(self, agent, number):
        """Killed while an answer is under way, and started again: it stops, and says by which lever."""
        for label, script in CASES["kills"].items():
            model = f"{agent.model}-k{number}-{label.split()[-1]}"
            lever = None

            def stops(asks, requests, said):
                assert requests == asks, f"{requests} requests: {said[-300:]}"
                assert f"{CASES['killed']['words']} (ref {lever})" in " ".join(said.split()), said[-600:]

            def under_way():
                nonlocal lever
                tap = self.stage.tap("open")
                with concurrent.futures.ThreadPoolExecutor(1) as pool:
                    pulled = pool.submit(self.stage.kill_under_way, tap, model, True)
                    requests, said = self.measured(agent, label, tap, f"Say it. mock:{script};", model=model)
                    lever = pulled.result()
                stops(agent.killed, requests, said)

            def asked_again():
                requests, said = self.measured(agent, f"{label}, asked again", self.stage.tap("open"), PLAIN, model=model)
                stops(agent.final, requests, said)

            self.score.case(f"{agent.name}: {label}", under_way)
            self.score.case(f"{agent.name}: {label}, asked again", asked_again)


def main():
    manifest = json.loads((pathlib.Path(sys.argv[1]) / "package.json").read_text())["dependencies"]
    versions = ", ".join(f"{name} {version}" for name, version in manifest.items() if name != "node")
    score = Score("Agents", versions)
    with theatre.Stage() as stage:
        suite = Suite(stage, score)
        for agent in AGENTS:
            suite.works(agent)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = []
            for number, agent in enumerate(AGENTS):
                jobs.append(pool.submit(suite.refusals, agent, theatre.SLOTS[number]))
                jobs.append(pool.submit(suite.kills, agent, number))
                jobs.append(pool.submit(suite.cuts, agent, theatre.SLOTS[8 * (number + 1):]))
            for job in jobs:
                score.case(None, job.result)
    score.finish()


main()
