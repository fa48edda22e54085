"""Python clients under levers: killed while an answer is under way, asked again, and one of two tools killed.

Every lever names a model of its own, so that cases do not meet each other's. A client is its name, the provider's family,
the dialect, whether it streams, and what takes a `To` and a prompt.
"""

import concurrent.futures

from asking import To, measured, plain, said
from score import CASES


# What clients show in a stream in place of our code: that of `response.failed`, whose vocabulary is the provider's, or their own.
SHOWN = {
    "langchain-openai responses, stream": "invalid_prompt", "openai-agents responses, stream": "invalid_prompt",
    "litellm openai, stream": "MidStreamFallbackError", "litellm anthropic, stream": "MidStreamFallbackError",
}


def killed(tap, error, lever, family, within=False, shown=None):
    text = said(error)
    assert tap.requests == 1, f"{tap.requests} requests"
    assert f"{CASES['killed']['words']} (ref {lever})" in text, text
    codes = CASES["killed"]["within" if within else "at once"]
    assert (shown or codes[family]) in text, text


def under_way(stage, score, client, number):
    """One request each time, and it is told by which lever."""
    name, family, _, streams, ask = client
    whole = To(stage.addresses["mock"])
    if streams:
        ask(whole, "mock:tokens=600;")
    for label, script in CASES["kills"].items():
        model = f"-k{number:02}-{label.split()[-1]}"
        lever = None

        def cut():
            nonlocal lever
            tap = stage.tap("open")
            to = To(tap.address, model=model)
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                pulled = pool.submit(stage.kill_under_way, tap, to.model(family), streams)
                error = measured(score, name, label, tap, ask, to, f"mock:{script};")
                lever = pulled.result()
            killed(tap, error, lever, family, streams, SHOWN.get(name))
            if streams:
                assert to.text and whole.text.startswith(to.text) and to.text != whole.text, f"the client had seen {to.text!r}"

        def asked_again():
            tap = stage.tap("open")
            error = measured(score, name, f"{label}, asked again", tap, ask, To(tap.address, model=model), CASES["prompts"]["text"])
            killed(tap, error, lever, family)

        score.case(f"{name}: {label}", cut)
        score.case(f"{name}: {label}, asked again", asked_again)


def of_tools(stage, score, client, number, asks=1):
    """One is killed before and one behind the other: the client has the other one and the text, and no more."""
    name, family, _, _, ask = client
    calls, script = CASES["tools"]["calls"], CASES["tools"]["script"]
    for gone, left in zip(calls, reversed(calls)):
        def check():
            tap = stage.tap("open")
            to = To(tap.address, model=f"-t{number:02}-but-{left}")
            before = plain(ask(To(stage.addresses["open"], model=to.suffix), script))
            assert gone in before and calls[gone] in before, before
            stage.shell.kill(f"tool:{gone}+model:{to.model(family)}")
            got = plain(ask(to, script))
            assert all(word in got for word in ("Both", left, calls[left])), got
            assert gone not in got and calls[gone] not in got, got
            assert tap.requests == asks, f"{tap.requests} requests"

        score.case(f"{name}: of two tools {gone} is killed", check)
