"""Checks the keys of outside providers, and the kinds openai and azure, with the openai Python SDK (3.57.0): first the stand-in for
a service itself, called directly, then warmlane in front of it. It needs no network:

    python keys.py path/to/warmlane

The stand-in plays OpenAI and Azure: it knows three keys (one wrong, one limited, one good), refuses fields that OpenAI does not
know, and streams with usage where it is asked for.
"""

import http.server
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import openai

HELLO = [{"role": "user", "content": "Name three rivers of Europe."}]
KNOWN = {"model", "messages", "stream", "stream_options", "max_completion_tokens", "temperature", "tools", "seed", "n"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


class Service(http.server.BaseHTTPRequestHandler):
    """A service that speaks OpenAI's protocol, at OpenAI's and at Azure's paths."""

    protocol_version = "HTTP/1.1"
    seen: list = []  # keys, in the order of the requests

    def log_message(self, *_):
        pass

    def answer(self, status, body, **header):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(data)), **header}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status, message, code, **header):
        self.answer(status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}, **header)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path, _, query = self.path.partition("?")
        azure = path.startswith("/openai/deployments/gpt/")
        key = self.headers["api-key"] if azure else (self.headers["authorization"] or "").removeprefix("Bearer ")
        Service.seen.append(key)
        if azure and query != "api-version=2024-10-21":
            self.refuse(404, "Resource not found", "404")
        elif key == "sk-wrong":
            self.refuse(401, "Incorrect API key provided: sk-wrong.", "invalid_api_key")
        elif key == "sk-limited":
            self.refuse(429, "Rate limit reached for gpt in organization org-hidden.", "rate_limit_exceeded", retry_after="20")
        elif key != "sk-good":
            self.refuse(401, "No API key provided.", "invalid_api_key")
        elif path.endswith("/embeddings"):
            usage = {"prompt_tokens": 3, "total_tokens": 3}
            data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
            self.answer(200, {"object": "list", "model": "gpt", "data": data, "usage": usage})
        elif unknown := set(body) - KNOWN:
            self.refuse(400, f"Unrecognized request argument supplied: {unknown.pop()}", None)
        elif body["model"] not in ("gpt", "m") or body["model"] == "m" and not azure:
            self.refuse(404, f"The model {body['model']} does not exist", "model_not_found")
        elif body.get("stream"):
            self.stream(body)
        else:
            self.whole(body)

    def whole(self, body):
        message = {"role": "assistant", "content": "Rhine, Elbe, Danube."}
        if body.get("tools"):
            call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if body.get("tools") else "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        self.answer(200, {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt", "choices": [choice], "usage": usage})

    def stream(self, body):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
        chunks = [{**head, "choices": [{"index": 0, "delta": {"content": w}, "finish_reason": None}]} for w in ("Rhine, ", "Elbe.")]
        chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            chunks.append({**head, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}})
        for event in [json.dumps(c) for c in chunks] + ["[DONE]"]:
            data = f"data: {event}\n\n".encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


def drive(client, model):
    """What an application does; the same against the service and through warmlane."""
    done = client.chat.completions.create(model=model, messages=HELLO, max_completion_tokens=50)
    assert done.choices[0].message.content == "Rhine, Elbe, Danube." and done.usage.total_tokens == 14, done
    for usage in (False, True):
        options = {"stream_options": {"include_usage": True}} if usage else {}
        chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True, **options))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Rhine, Elbe.", chunks
        assert [c.usage.total_tokens for c in chunks if c.usage] == ([11] if usage else []), chunks
    tools = client.chat.completions.create(model=model, messages=HELLO, tools=[TOOL])
    assert tools.choices[0].message.tool_calls[0].function.name == "weather", tools
    vector = client.embeddings.create(model=model, input="abc", encoding_format="float")
    assert vector.data[0].embedding == [0.5, 0.25], vector


def refused(kind, call):
    try:
        call()
    except openai.APIStatusError as err:
        assert type(err) is kind, f"{type(err).__name__} in place of {kind.__name__}: {err}"
        assert "org-hidden" not in str(err) and "sk-" not in str(err), err
        return err
    raise AssertionError(f"no {kind.__name__}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main(warmlane):
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{service.server_address[1]}"

    # The stand-in by itself, in the hands of the official client.
    drive(openai.OpenAI(base_url=base + "/v1", api_key="sk-good", max_retries=0), "gpt")
    azure = openai.AzureOpenAI(azure_endpoint=base, api_key="sk-good", api_version="2024-10-21", max_retries=0)
    drive(azure, "gpt")

    port, admin = free_port(), free_port()
    keys = '["sk-wrong", "sk-limited", {key: sk-good, weight: 2}]'
    config = f"""
server: {{listen: "127.0.0.1:{port}", admin: "127.0.0.1:{admin}", lame_duck: 0s}}
providers:
  - {{name: openai, base_url: "{base}/v1", keys: {keys}, models: [{{name: m, model: gpt}}]}}
  - {{name: azure, kind: azure, base_url: "{base}", keys: [sk-good], models: [{{name: az, model: gpt}}]}}
  - {{name: limited, base_url: "{base}/v1", keys: [sk-limited], models: [slow]}}
  - {{name: wrong, base_url: "{base}/v1", keys: [sk-wrong], models: [shut]}}
"""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file, tempfile.TemporaryFile("w+") as log:
        file.write(config)
        file.flush()
        gateway = subprocess.Popen([warmlane, "serve", "--config", file.name], stderr=log)
        try:
            wait(f"http://127.0.0.1:{admin}/readyz", gateway)
            check(f"http://127.0.0.1:{port}/v1", f"http://127.0.0.1:{admin}", log)
        finally:
            gateway.terminate()
            gateway.wait()
    print("keys: all as it should be")


def wait(url, gateway):
    for _ in range(100):
        assert gateway.poll() is None, "the gateway ended"
        try:
            return urllib.request.urlopen(url, timeout=1)
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def check(url, admin, log):
    client = openai.OpenAI(base_url=url, api_key="sk-caller", max_retries=0)
    Service.seen.clear()
    drive(client, "m")
    assert Service.seen.count("sk-wrong") == Service.seen.count("sk-limited") == 1, Service.seen
    assert "sk-caller" not in Service.seen, Service.seen
    # Fields of engines, and the old name of the limit, are what Azure's kind takes care of.
    drive(client, "az")
    client.chat.completions.create(model="az", messages=HELLO, max_tokens=5, extra_body={"top_k": 5, "cache_salt": "x"})
    limited = refused(openai.RateLimitError, lambda: client.chat.completions.create(model="slow", messages=HELLO))
    assert 1 <= int(limited.response.headers["retry-after"]) <= 20, limited.response.headers
    shut = refused(openai.InternalServerError, lambda: client.chat.completions.create(model="shut", messages=HELLO))
    assert shut.status_code == 503 and int(shut.response.headers["retry-after"]) <= 30, shut
    refused(openai.NotFoundError, lambda: client.chat.completions.create(model="nothing", messages=HELLO))

    told = urllib.request.urlopen(admin + "/admin/v1/providers").read().decode()
    states = {p["name"]: [k["state"] for k in p["keys"]] for p in json.loads(told)["providers"]}
    assert states == {"openai": ["resting", "resting", "in_use"], "azure": ["in_use"], "limited": ["resting"], "wrong": ["resting"]}, states
    told += urllib.request.urlopen(admin + "/metrics").read().decode()
    log.seek(0)
    told += log.read()
    for key in ("sk-wrong", "sk-limited", "sk-good", "sk-caller"):
        assert key not in told, f"{key} is told"


if __name__ == "__main__":
    main(*sys.argv[1:])
