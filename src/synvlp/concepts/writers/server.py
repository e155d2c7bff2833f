"""Write reports with a language model behind an OpenAI-compatible HTTP server, such as vLLM.

Several requests are open at a time. What was answered lies in a cache on disk, by the content of the question, so that
nothing is asked twice, also after a kill. Questions hold concepts and definitions, no patient's text.
"""

import os
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synvlp import job, provenance
from synvlp.concepts import asking, writing
from synvlp.store import files, seeds

if TYPE_CHECKING:
    import requests

# Answers after which the same question may succeed: too many requests, or a server in trouble.
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)


class Settings(writing.Settings):
    url: str = job.required("address of the server's API, such as http://localhost:8000/v1")
    model: str = job.required("the model's name on the server")
    key_variable: str = job.setting("SYNVLP_SERVER_KEY", "environment variable with the API key; not set: none is sent")
    temperature: float = job.setting(0.7, "of the model's draws; 0: always the most likely token", ge=0, le=2)
    top_p: float = job.setting(0.95, "probability of the most likely tokens that are drawn from", gt=0, le=1)
    max_tokens: int = job.setting(600, "tokens of an answer, at most", unit="tokens", ge=8)
    concurrency: int = job.setting(16, "questions that are open at a time", ge=1, le=1024)
    timeout: float = job.setting(120, "longest wait for an answer", unit="s", gt=0)
    retries: int = job.setting(6, "how often a question without an answer is asked again", ge=0)
    backoff: float = job.setting(
        1.0, "wait before the second time that a question is asked again, doubled each time; Retry-After goes before",
        unit="s", ge=0,
    )  # fmt: skip


Inputs = writing.Inputs
Outputs = writing.Outputs


def run(settings: Settings, inputs: writing.Inputs, outputs: writing.Outputs) -> None:
    """Write a report for every set of concepts. Raises JobError if the server refuses, or does not answer."""
    client = Client(settings, Path(os.environ.get("SYNVLP_SCRATCH", "scratch")) / "answers")
    writing.run(__name__, settings, inputs, outputs, client.write, 8 * settings.concurrency)
    job.log.info("%d answers of the server, %d of the cache", client.asked, client.known)


class Client:
    """Asks a server for reports, and remembers its answers.

    Attributes:
        asked: answers that came from the server.
        known: answers that came from the cache.
    """

    def __init__(self, settings: Settings, cache: Path) -> None:
        """`cache` is the folder of the answers. Raises JobError for an address that cannot be used."""
        if not re.match(r"https?://[^/@\s]+(?:/\S*)?$", settings.url):
            raise job.JobError("url: it should be http(s)://host:port/v1, without a name or password in it")
        self.settings, self.cache = settings, cache
        self.asked = self.known = 0
        self._own = threading.local()
        self._lock = threading.Lock()

    def write(self, requests: Sequence[writing.Request]) -> list[str]:
        """The answers to requests, in their order. After the first failure, or a signal, nothing more is asked."""
        ended = threading.Event()

        def one(request: writing.Request) -> str:
            if ended.is_set():
                return ""
            try:
                return self.answer(request)
            except BaseException:
                ended.set()
                raise

        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            try:
                return list(pool.map(one, requests))
            finally:
                ended.set()

    def answer(self, request: writing.Request) -> str:
        """The answer to one request, from the cache or the server."""
        question = self.question(request)
        path = self._place(question)
        if path.is_file():
            with self._lock:
                self.known += 1
            return files.read_json(path)["answer"]
        text = self._ask(question)
        files.write_json(path, {"answer": text})
        with self._lock:
            self.asked += 1
        return text

    def question(self, request: writing.Request) -> dict[str, Any]:
        """The body of the HTTP request: all that the answer depends on."""
        settings = self.settings
        return {
            "model": settings.model,
            "messages": asking.messages(request),
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "seed": seeds.seed_of(settings.seed, "server", request.study_id, request.attempt) % 2**31,
        }

    def _place(self, question: dict[str, Any]) -> Path:
        """The file of an answer. The server's address is no part of it: on a cluster it differs from day to day."""
        import json

        name = provenance.digest([json.dumps(question, sort_keys=True)])
        return self.cache / name[:2] / f"{name}.json"

    def _ask(self, question: dict[str, Any]) -> str:
        """Ask the server until it answers with a text. Raises JobError, which holds neither text nor key."""
        import requests

        for again in range(self.settings.retries + 1):
            try:
                reply = self._session().post(
                    f"{self.settings.url.rstrip('/')}/chat/completions",
                    json=question,
                    timeout=self.settings.timeout,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                raise job.JobError(self._unreachable(error)) from None
            if reply.status_code != 200:
                raise job.JobError(self._refused(reply))
            text = _text_of(reply)
            if text is not None:
                return text
            time.sleep(min(self.settings.backoff * 2**again, 60))
        raise job.JobError(
            f"{self.settings.url} answered {self.settings.retries + 1} times with something else than a chat "
            "completion: is it the address of an OpenAI-compatible API (…/v1)?"
        )

    def _session(self) -> "requests.Session":
        """This thread's connections, which ask again after errors and time-outs, as long as the server wishes."""
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.util.retry import Retry

        if not hasattr(self._own, "session"):
            retry = Retry(
                total=self.settings.retries,
                status_forcelist=AGAIN,
                allowed_methods=None,
                backoff_factor=self.settings.backoff,
                backoff_jitter=self.settings.backoff / 4,
                raise_on_status=False,
                retry_after_max=600,
            )
            session = requests.Session()
            session.auth = self._authorize
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=retry))
            self._own.session = session
        return self._own.session

    def _authorize(self, prepared: "requests.PreparedRequest") -> "requests.PreparedRequest":
        """Send the key, if there is one. As an `auth` it also keeps requests from sending what ~/.netrc holds."""
        key = os.environ.get(self.settings.key_variable)
        if key:
            prepared.headers["Authorization"] = f"Bearer {key}"
        return prepared

    def _refused(self, reply: "requests.Response") -> str:
        """Why the server gave no answer. Its own words are left out: they may repeat the question."""
        settings, status = self.settings, reply.status_code
        if status in {401, 403}:
            variable = settings.key_variable
            told = "which it does not accept" if os.environ.get(variable) else "which is not set"
            return f"{settings.url} wants a key (HTTP {status}); it is taken from ${variable}, {told}"
        if status == 404:
            return f"{settings.url} has no chat completions, or no model {settings.model!r} (HTTP 404)"
        if status in AGAIN:
            return (
                f"{settings.url} answered HTTP {status}, also after {settings.retries} retries; answers so far are "
                "kept in the cache, and the next start asks for the others"
            )
        return (
            f"{settings.url} refused the question (HTTP {status}); its log says why: often max_tokens = "
            f"{settings.max_tokens} and the question are longer than the model's context"
        )

    def _unreachable(self, error: Exception) -> str:
        kind = type(error).__name__
        return (
            f"{self.settings.url} gave no answer ({kind}), also after {self.settings.retries} retries of at most "
            f"{self.settings.timeout:g} s; answers so far are kept in the cache, and the next start asks for the others"
        )


def _text_of(reply: "requests.Response") -> str | None:
    """The text of a chat completion; None if the reply is none."""
    try:
        text = reply.json()["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return None
    return text if isinstance(text, str) else None
