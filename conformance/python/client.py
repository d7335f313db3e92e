"""Asks as openai-python does, without being it.

The SDK is not installed here: it cannot be fetched from everywhere. This is its
behaviour as its source and documentation tell it, over two HTTP stacks that
Python programs use: httpx, which is also the SDK's, and http.client of the
standard library. What is replayed: the headers that tell of the SDK, the
timeouts and the header that tells of them, which answers are asked for again,
after which wait and how often, and how a stream is read.

    python3 client.py httpx|stdlib

reads orders, one JSON object a line, and writes what a program would have seen,
in whatever order they end. See ../node/run.mjs, which does the same.
"""

import email.utils
import http.client
import json
import math
import platform
import socket
import sys
import threading
import time
import urllib.parse

READ_TIMEOUT, CONNECT_TIMEOUT = 600.0, 5.0  # seconds
MAX_RETRIES = 2
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0  # seconds; the SDK takes up to a quarter off, here nothing
LONGEST_TOLD_WAIT = 120.0  # seconds; above it the SDK gives up


class APIError(Exception):
    """What the SDK raises. Its subclasses by status are left out."""

    def __init__(self, message, status=None, code=None, kind=None):
        super().__init__(message)
        self.status, self.code, self.kind = status, code, kind


class APIStatusError(APIError):
    """An answer with an error status."""


class APIConnectionError(APIError):
    """No answer."""


class APITimeoutError(APIConnectionError):
    """No answer in time."""


# ---- two ways to send ----


class OverHTTPX:
    """httpx, as the SDK uses it."""

    def __init__(self):
        import httpx

        self.httpx = httpx
        self.client = httpx.Client(trust_env=False, follow_redirects=True, limits=httpx.Limits(max_connections=1000))

    def send(self, url, body, headers, timeout, streamed):
        limits = self.httpx.Timeout(timeout, connect=min(CONNECT_TIMEOUT, timeout))
        request = self.client.build_request("POST", url, content=body, headers=headers, timeout=limits)
        try:
            response = self.client.send(request, stream=True)
            if not streamed or response.status_code >= 400:
                return response.status_code, response.headers, response.read()
        except self.httpx.TimeoutException as e:
            raise APITimeoutError("Request timed out.") from e
        except self.httpx.TransportError as e:
            raise APIConnectionError("Connection error.") from e
        return response.status_code, response.headers, self.pieces(response)

    def pieces(self, response):
        try:
            yield from response.iter_bytes()
        finally:
            response.close()


class OverStandardLibrary:
    """http.client, on a connection for each request."""

    def send(self, url, body, headers, timeout, streamed):
        where = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(where.netloc, timeout=timeout)
        try:
            connection.request("POST", where.path, body, headers)
            response = connection.getresponse()
            if not streamed or response.status >= 400:
                return response.status, response.headers, response.read()
        except (TimeoutError, socket.timeout) as e:
            raise APITimeoutError("Request timed out.") from e
        except (OSError, http.client.HTTPException) as e:
            raise APIConnectionError("Connection error.") from e
        return response.status, response.headers, self.pieces(response)

    def pieces(self, response):
        try:
            while piece := response.read1(65536):
                yield piece
            # read1 takes a connection that broke for one that ended.
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
        finally:
            response.close()


# ---- what the SDK decides ----


def told_wait(headers):
    """How many seconds the answer says to wait; None if it does not."""
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return float(headers.get(name)) / divisor
        except (TypeError, ValueError):
            continue
    date = email.utils.parsedate_tz(headers.get("retry-after") or "")
    return None if date is None else email.utils.mktime_tz(date) - time.time()


def asks_again(status, headers):
    """Whether an error is asked for again. A long wait comes before the server's word."""
    wait = told_wait(headers)
    if wait is not None and math.isfinite(wait) and wait > LONGEST_TOLD_WAIT:
        return False
    word = headers.get("x-should-retry")
    if word in ("true", "false"):
        return word == "true"
    return status in (408, 409, 429) or status >= 500


def wait_before(retry, headers):
    wait = told_wait(headers) if headers is not None else None
    if wait is not None and 0 < wait <= LONGEST_TOLD_WAIT:
        return wait
    return min(FIRST_WAIT * 2**retry, LONGEST_WAIT)


def headers_of(order, retry, timeout):
    return {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": "OpenAI/Python 3.0.0",
        "Authorization": "Bearer " + order["key"],
        "X-Stainless-Lang": "python",
        "X-Stainless-OS": platform.system(),
        "X-Stainless-Runtime": "CPython",
        "X-Stainless-Async": "false",
        "X-Stainless-Retry-Count": str(retry),
        "X-Stainless-Read-Timeout": f"{timeout:g}",
    }


def error_of(status, text):
    try:
        error = json.loads(text).get("error") or {}
    except (ValueError, AttributeError):
        error = {}
    if not isinstance(error, dict):
        error = {"message": str(error)}
    message = f"Error code: {status} - {error.get('message') or text}"
    return APIStatusError(message, status, error.get("code"), error.get("type"))


class Call:
    """One call of a program, with its retries."""

    def __init__(self, stack, order):
        self.stack, self.order = stack, order
        self.requests, self.heard = 0, ""
        self.url = order["base"] + "/v1/chat/completions"
        body = {"model": order["model"], "max_tokens": 60, "messages": [{"role": "user", "content": order["prompt"]}]}
        if order["stream"]:
            body["stream"] = True
        self.body = json.dumps(body, ensure_ascii=False).encode()
        self.timeout = order.get("timeout_s") or READ_TIMEOUT

    def run(self):
        return self.streamed(self.answer()) if self.order["stream"] else self.whole(self.answer())

    def answer(self):
        """A good answer, after as many requests as that takes: its body, or its pieces."""
        for retry in range(MAX_RETRIES + 1):
            try:
                self.requests += 1
                headers = headers_of(self.order, retry, self.timeout)
                status, headers, body = self.stack.send(self.url, self.body, headers, self.timeout, self.order["stream"])
                if status < 400:
                    return body
                error = error_of(status, body.decode("utf-8", "replace"))
                if not asks_again(status, headers):
                    raise error
            except APIConnectionError as e:
                error, headers = e, None
            if retry == MAX_RETRIES:
                raise error
            time.sleep(wait_before(retry, headers))

    def whole(self, body):
        choice = json.loads(body)["choices"][0]
        return {"text": choice["message"]["content"], "finish": choice["finish_reason"]}

    def streamed(self, pieces):
        finish = None
        for event in events(pieces):
            if event.startswith("[DONE]"):
                break
            chunk = json.loads(event)
            if error := chunk.get("error"):
                raise APIError(error.get("message") or "An error occurred during streaming", None, error.get("code"), error.get("type"))
            for choice in chunk["choices"]:
                self.heard += choice["delta"].get("content") or ""
                finish = choice["finish_reason"] or finish
        return {"text": self.heard, "finish": finish}


def events(pieces):
    """The data of each server-sent event. A line end may be cut in two."""
    rest, data = b"", []
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            line = line.rstrip(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" ").decode())
            elif not line and data:
                yield "\n".join(data)
                data = []


# ---- orders ----

said = threading.Lock()


def say(answer):
    with said:
        print(json.dumps(answer), flush=True)


def describe(error):
    name = type(error).__name__
    described = {"class": name, "message": str(error)}
    for member, value in (("status", getattr(error, "status", None)), ("code", getattr(error, "code", None)), ("type", getattr(error, "kind", None))):
        if value is not None:
            described[member] = value
    return described


def serve(stack, order):
    call = Call(stack, order)
    answer = {"id": order["id"]}
    try:
        answer["result"] = call.run()
    except Exception as e:  # whatever a program would see
        answer["error"], answer["heard"] = describe(e), call.heard
    say({**answer, "requests": call.requests})


def main():
    stack = {"httpx": OverHTTPX, "stdlib": OverStandardLibrary}[sys.argv[1]]()
    say({"ready": True})
    for line in sys.stdin:
        threading.Thread(target=serve, args=(stack, json.loads(line)), daemon=True).start()


main()
