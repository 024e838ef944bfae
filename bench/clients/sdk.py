"""Checks a gateway with the openai Python SDK. run.sh starts what they need and gives the addresses:

    GATEWAY  base URL of the gateway, without /v1
    ENGINES  URLs of the simulated replicas behind it, with commas between
"""

import os
import time
import urllib.request

import openai

GATEWAY = os.environ["GATEWAY"] + "/v1"
ENGINES = os.environ["ENGINES"].split(",")
MODEL = "llama3"
HELLO = [{"role": "user", "content": "Name three rivers of Europe."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town, today and for the next days",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}

client = openai.OpenAI(base_url=GATEWAY, api_key="sk-app", max_retries=0, timeout=60)


def gauge(name: str) -> float:
    """The sum of a metric over the engines, by their own count."""
    total = 0.0
    for url in ENGINES:
        text = urllib.request.urlopen(url + "/metrics", timeout=10).read().decode()
        total += sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + "{"))
    return total


def wait_for(what: str, holds, seconds: float = 5.0) -> float:
    """Waits until holds() is true and returns how long that took."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - start


def refused(kind: type, call, code=None):
    """Asserts that call() raises exactly this error class, with a body in OpenAI's form, and returns the error."""
    try:
        call()
    except openai.APIStatusError as err:
        assert type(err) is kind, f"{type(err).__name__} in place of {kind.__name__}: {err}"
        assert err.request_id, "no request id"
        assert isinstance(err.body, dict) and err.body["message"] and err.type, f"not OpenAI's form: {err.body}"
        assert code is None or err.code == code, f"code {err.code!r} in place of {code!r}"
        return err
    raise AssertionError(f"no {kind.__name__}")


def ask(**more):
    return client.chat.completions.create(**{"model": MODEL, "messages": HELLO, "max_tokens": 12, **more})


def check_models():
    listed = {m.id: m for m in client.models.list()}
    assert MODEL in listed and listed[MODEL].model_extra["max_model_len"] > 0
    assert client.models.retrieve(MODEL).id == MODEL


def check_chat():
    answer = ask()
    assert answer.choices[0].message.content and answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 12 and answer.usage.prompt_tokens > 0


def check_chat_stream():
    chunks = list(ask(stream=True))
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert all(c.usage is None for c in chunks), "usage that nobody asked for"
    assert text == ask().choices[0].message.content, "the stream differs from the whole answer"


def check_chat_stream_usage():
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 12
    assert all(c.usage is None for c in chunks[:-1])


def check_cached_tokens():
    long = [{"role": "user", "content": "Count the sheep once more. " * 80}]
    for _ in ENGINES:  # so that it is warm everywhere, whatever the policy
        ask(messages=long)
    details = ask(messages=long).usage.prompt_tokens_details
    assert details.cached_tokens >= 256, f"a repeated prompt has {details.cached_tokens} cached tokens"


def check_tools():
    with_tools = ask(tools=[WEATHER], tool_choice="auto")
    assert with_tools.usage.prompt_tokens > ask().usage.prompt_tokens, "the engine did not see the tools"


def check_unknown_fields():
    assert ask(extra_body={"ignore_eos": True, "x_unknown": {"a": [1]}}, max_tokens=700).usage.completion_tokens == 700


def check_completions():
    whole = client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=7)
    assert whole.usage.completion_tokens == 7
    parts = list(client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=7, stream=True))
    assert "".join(p.choices[0].text for p in parts) == whole.choices[0].text
    assert parts[-1].choices[0].finish_reason == "length"


def check_embeddings():
    # The SDK asks for base64 unless told otherwise, and decodes it.
    packed = client.embeddings.create(model=MODEL, input=["one", "two words"])
    plain = client.embeddings.create(model=MODEL, input=["one", "two words"], encoding_format="float")
    assert [d.index for d in packed.data] == [0, 1]
    for a, b in zip(packed.data[0].embedding, plain.data[0].embedding, strict=True):
        assert abs(a - b) < 1e-5


def check_request_id():
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=3)
    assert raw.request_id and raw.parse().usage.completion_tokens == 3
    own = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=HELLO, max_tokens=3, extra_headers={"X-Request-Id": "mine-1"}
    )
    assert own.request_id == "mine-1"


def check_error_classes():
    refused(openai.BadRequestError, lambda: ask(messages="no list"))
    refused(openai.BadRequestError, lambda: ask(max_tokens=-1))
    refused(openai.NotFoundError, lambda: ask(model="nobody"), "model_not_found")
    refused(openai.NotFoundError, lambda: client.models.retrieve("nobody"), "model_not_found")
    refused(openai.AuthenticationError, client.with_options(api_key="wrong").models.list, "invalid_api_key")
    narrow = client.with_options(api_key="sk-narrow")
    refused(openai.PermissionDeniedError, lambda: narrow.completions.create(model=MODEL, prompt="x"), "model_not_allowed")


def check_rate_limit():
    def limited():
        return ask(max_tokens=1, extra_headers={"x-limited": "yes"})

    limited(), limited()
    err = refused(openai.RateLimitError, limited, "rate_limit_exceeded")
    assert 0 < float(err.response.headers["retry-after"]) <= 60


def check_fallback():
    assert ask(model="fallback").usage.completion_tokens == 12, "the second target did not answer"
    assert list(ask(model="fallback", stream=True))[-1].choices[0].finish_reason == "length"


def check_close_aborts():
    running = "vllm:num_requests_running"
    wait_for("the engines to be idle", lambda: gauge(running) == 0)
    stream = ask(stream=True, max_tokens=6000, extra_body={"ignore_eos": True})
    for _ in range(3):
        next(stream)
    assert gauge(running) == 1
    stream.close()
    took = wait_for("the abort at the engine", lambda: gauge(running) == 0)
    print(f"     closed stream aborted after {1000 * took:.0f} ms")


def main() -> int:
    checks = {name[6:]: check for name, check in globals().items() if name.startswith("check_")}
    failed = 0
    for name, check in checks.items():
        try:
            check()
        except Exception as err:
            failed += 1
            print(f"FAIL {name}: {type(err).__name__}: {err}")
        else:
            print(f"ok   {name}")
    print(f"openai {openai.__version__}: {len(checks) - failed} of {len(checks)} checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
