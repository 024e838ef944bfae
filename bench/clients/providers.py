"""Checks the simulated outside services with their official SDKs, and warmlane in front of them with openai's. providers.sh starts
what they need; PORT is the first of five ports: Anthropic, Gemini, Bedrock, warmlane, its admin listener."""

import os

import anthropic
import boto3
import botocore
import botocore.config
import botocore.exceptions
import google.genai
import openai
from google.genai import types

PORT = int(os.environ["PORT"])
ANTHROPIC, GEMINI, BEDROCK, GATEWAY = (f"http://127.0.0.1:{PORT + i}" for i in range(4))
CLAUDE = "claude-haiku-4-5"
AT_BEDROCK = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
AT_GEMINI = "gemini-3-pro"
SCHEMA = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
TOWNS = [{"town": "Bonn"}, {"town": "Rome"}]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def raises(kind: type, call):
    """Asserts that call() raises this error class, and returns the error."""
    try:
        call()
    except kind as err:
        return err
    raise AssertionError(f"no {kind.__name__}")


# The services by their own SDKs.

claude = anthropic.Anthropic(base_url=ANTHROPIC, api_key="sk-ant-test", max_retries=0, timeout=20)
CLAUDE_TOOL = {"name": "weather", "description": "The weather", "input_schema": SCHEMA}


def check_anthropic_sdk():
    def say(text, **more):
        return {"model": CLAUDE, "max_tokens": 64, "messages": [{"role": "user", "content": text}], **more}

    answer = claude.messages.create(**say("think", system="Be brief."))
    assert [b.type for b in answer.content] == ["thinking", "text"] and answer.stop_reason == "end_turn"
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens, answer.usage.output_tokens) == (20, 100, 12)
    with claude.messages.stream(**say("think")) as stream:
        assert "".join(stream.text_stream) == "Hello from anthropic."
        assert stream.get_final_message().usage.output_tokens == 12
    with claude.messages.stream(**say("call", tools=[CLAUDE_TOOL])) as stream:
        calls = stream.get_final_message().content
    assert [c.input for c in calls] == TOWNS and stream.get_final_message().stop_reason == "tool_use"
    results = [{"type": "tool_result", "tool_use_id": c.id, "content": "rain"} for c in calls]
    turns = [{"role": "user", "content": "call"}, {"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    assert claude.messages.create(model=CLAUDE, max_tokens=64, tools=[CLAUDE_TOOL], messages=turns).stop_reason
    err = raises(anthropic.APIStatusError, lambda: list(claude.messages.create(**say("break", stream=True))))
    assert err.body["error"]["type"] == "overloaded_error"
    raises(anthropic.RateLimitError, lambda: claude.messages.create(**say("status 429")))
    raises(anthropic.AuthenticationError, lambda: claude.with_options(api_key="x").messages.create(**say("hi")))


google_client = google.genai.Client(api_key="gemini-test", http_options=types.HttpOptions(base_url=GEMINI))
GEMINI_TOOLS = types.GenerateContentConfig(
    tools=[types.Tool(function_declarations=[types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA)])],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


def check_google_sdk():
    models = google_client.models
    answer = models.generate_content(
        model=AT_GEMINI, contents="think", config=types.GenerateContentConfig(system_instruction="Be brief.", temperature=0.1, stop_sequences=["x"])
    )
    assert answer.text == "Hello from gemini." and answer.candidates[0].content.parts[0].thought
    usage = answer.usage_metadata
    assert (usage.prompt_token_count, usage.cached_content_token_count, usage.thoughts_token_count) == (120, 100, 5)
    parts = list(models.generate_content_stream(model=AT_GEMINI, contents="hi"))
    assert "".join(p.text or "" for p in parts) == "Hello from gemini." and parts[-1].candidates[0].finish_reason == types.FinishReason.STOP
    answer = models.generate_content(model=AT_GEMINI, contents="call", config=GEMINI_TOOLS)
    assert [c.args for c in answer.function_calls] == TOWNS
    results = [types.Part.from_function_response(name=c.name, response={"output": "rain"}) for c in answer.function_calls]
    for result, call in zip(results, answer.function_calls, strict=True):
        result.function_response.id = call.id
    turns = [types.UserContent("call"), answer.candidates[0].content, types.UserContent(results)]
    assert models.generate_content(model=AT_GEMINI, contents=turns, config=GEMINI_TOOLS).candidates
    vectors = models.embed_content(model="gemini-embedding-001", contents=["a", "b"]).embeddings
    assert [v.values[0] for v in vectors] == [0, 1]
    err = raises(google.genai.errors.ServerError, lambda: list(models.generate_content_stream(model=AT_GEMINI, contents="break")))
    assert err.code == 503 and err.status == "UNAVAILABLE"
    assert raises(google.genai.errors.ClientError, lambda: models.generate_content(model=AT_GEMINI, contents="status 429")).code == 429


def bedrock_client(secret):
    return boto3.client(
        "bedrock-runtime", endpoint_url=BEDROCK, region_name="eu-west-1", aws_access_key_id="AKIDTEST", aws_secret_access_key=secret,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


BEDROCK_TOOLS = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": SCHEMA}}}]}


def check_aws_sdk():
    client = bedrock_client("secret/test")

    def say(text, **more):
        return {"modelId": AT_BEDROCK, "messages": [{"role": "user", "content": [{"text": text}]}], **more}

    answer = client.converse(**say("think", system=[{"text": "Be brief."}], inferenceConfig={"maxTokens": 9, "temperature": 0.5}))
    content = answer["output"]["message"]["content"]
    assert content[0]["reasoningContent"]["reasoningText"]["text"] and content[1]["text"] == "Hello from bedrock."
    assert answer["usage"]["cacheReadInputTokens"] == 100 and answer["stopReason"] == "end_turn"
    events = list(client.converse_stream(**say("call", toolConfig=BEDROCK_TOOLS))["stream"])
    inputs = [e["contentBlockDelta"]["delta"]["toolUse"]["input"] for e in events if "contentBlockDelta" in e]
    assert "".join(inputs) == '{"town":"Bonn"}{"town":"Rome"}' and events[-1]["metadata"]["usage"]["outputTokens"] == 12
    call = client.converse(**say("call", toolConfig=BEDROCK_TOOLS))["output"]["message"]
    results = [{"toolResult": {"toolUseId": c["toolUse"]["toolUseId"], "content": [{"text": "rain"}]}} for c in call["content"]]
    turns = [{"role": "user", "content": [{"text": "call"}]}, call, {"role": "user", "content": results}]
    assert client.converse(modelId=AT_BEDROCK, messages=turns, toolConfig=BEDROCK_TOOLS)["stopReason"]
    raises(botocore.exceptions.EventStreamError, lambda: list(client.converse_stream(**say("break"))["stream"]))
    raises(client.exceptions.ThrottlingException, lambda: client.converse(**say("status 429")))
    err = raises(botocore.exceptions.ClientError, lambda: bedrock_client("wrong").converse(**say("hi")))
    assert err.response["Error"]["Code"] == "InvalidSignatureException"


# The same services through warmlane, by openai's SDK.

app = openai.OpenAI(base_url=GATEWAY + "/v1", api_key="any", max_retries=0, timeout=20)
MODELS = {"anthropic": CLAUDE, "gemini": AT_GEMINI, "bedrock": AT_BEDROCK}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}


def ask(model, text, **more):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    return app.chat.completions.create(**{"model": model, "messages": messages, **more})


def check_answers():
    for kind, model in MODELS.items():
        answer = ask(model, "think", temperature=0.4, max_tokens=40, stop=["x"], user="u", seed=1)
        choice = answer.choices[0]
        assert (choice.message.content, choice.finish_reason) == (f"Hello from {kind}.", "stop"), answer
        assert choice.message.model_extra["reasoning_content"] == "Let me think."
        usage = answer.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens_details.cached_tokens) == (120, 12, 100), usage


def check_streams():
    for kind, model in MODELS.items():
        chunks = list(ask(model, "think", stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == f"Hello from {kind}."
        assert chunks[-1].choices[0].finish_reason == "stop" and all(c.usage is None for c in chunks), "usage that nobody asked for"
        assert len({c.id for c in chunks}) == 1 and len(chunks) > 5
        last = list(ask(model, "hi", stream=True, stream_options={"include_usage": True}))[-1]
        assert last.choices == [] and last.usage.total_tokens == 132


def check_tools():
    for model in MODELS.values():
        message = ask(model, "call", tools=[WEATHER]).choices[0].message
        with app.chat.completions.stream(model=model, messages=[{"role": "user", "content": "call"}], tools=[WEATHER]) as stream:
            streamed = stream.get_final_completion().choices[0]
        assert streamed.finish_reason == "tool_calls"
        for calls in message.tool_calls, streamed.message.tool_calls:
            assert ["Bonn" in calls[0].function.arguments, "Rome" in calls[1].function.arguments] == [True, True]
        turns = [{"role": "user", "content": "call"}, message]
        turns += [{"role": "tool", "tool_call_id": c.id, "content": "rain"} for c in message.tool_calls]
        turns += [{"role": "user", "content": "so?"}]
        assert app.chat.completions.create(model=model, messages=turns, tools=[WEATHER]).choices[0].message.content


def check_images():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG}}
    for model in MODELS.values():
        assert ask(model, [picture, {"type": "text", "text": "What is it?"}]).choices[0].message.content


def check_embeddings():
    data = app.embeddings.create(model="gemini-embedding-001", input=["a", "b"]).data
    assert [list(d.embedding) for d in data] == [[0, 0.5, -0.25], [1, 0.5, -0.25]]


def check_errors():
    for kind, model in MODELS.items():
        assert raises(openai.BadRequestError, lambda: ask(model, "hi", logprobs=True)).code == "unsupported_parameter"
        raises(openai.NotFoundError, lambda: ask(model, "status 404"))
        raises(openai.InternalServerError, lambda: ask(model, "status 500"))
        for word in "break", "cut":
            got = []
            raises(openai.APIError, lambda: got.extend(ask(model, word, stream=True)))
            assert got and got[-1].choices[0].finish_reason is None, f"{kind}: a broken stream looks whole"
    err = raises(openai.InternalServerError, lambda: ask("locked", "hi"))
    assert "sk-ant" not in str(err.body) and err.code == "provider_unavailable", err.body


def check_limits():  # last: the keys rest afterwards
    for model in MODELS.values():
        assert float(raises(openai.RateLimitError, lambda: ask(model, "status 429")).response.headers["retry-after"]) > 0


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
    versions = f"openai {openai.__version__}, anthropic {anthropic.__version__}, google-genai {google.genai.__version__}, botocore {botocore.__version__}"
    print(f"{versions}: {len(checks) - failed} of {len(checks)} checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
