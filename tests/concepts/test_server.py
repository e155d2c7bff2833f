"""A real HTTP server on this machine: right and wrong answers, trouble of every kind, and nothing asked twice."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest

from synvlp import cli, job
from synvlp.concepts import decoding, writing
from synvlp.concepts.writers import server, template
from synvlp.store import seeds, tables

SETS = [["cardiomegaly", "left lung"], ["pneumonia", "scoliosis", "spine"], ["atelectasis", "emphysema"]] * 2
Answer = Callable[[dict, int], tuple[int, dict, bytes]]


@dataclass
class Served:
    """An HTTP server whose answer to each question is that of `answer(question, how many there were before)`."""

    url: str = ""
    answer: Answer = lambda question, number: (200, {}, b"")
    questions: list[dict] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0


@pytest.fixture
def served() -> Iterator[Served]:
    found, lock = Served(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(found.questions)
                found.questions.append(question)
                found.keys.append(self.headers.get("Authorization"))
                found.open_now += 1
                found.most_open = max(found.most_open, found.open_now)
            known = self.path == "/v1/chat/completions"
            status, headers, body = found.answer(question, number) if known else (404, {}, b"")
            with lock:
                found.open_now -= 1
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{http.server_port}/v1"
    yield found
    http.shutdown()
    http.server_close()


def completion(text: str) -> tuple[int, dict, bytes]:
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def by_template(vocabulary: dict) -> Answer:
    """Answers as a good model would: it reads the lists of the question, and writes by the grammar."""

    def answer(question: dict, number: int) -> tuple[int, dict, bytes]:
        lists = question["messages"][1]["content"].partition("Rules:")[0]
        names = [re.split(r" \(also: |: ", line[2:])[0] for line in lists.splitlines() if line.startswith("- ")]
        concepts = tuple(vocabulary[name] for name in names if name != "none")
        return completion(template.text(writing.Request(str(question["seed"]), concepts), template.Settings()))

    return answer


def settings(served: Served, **more: object) -> server.Settings:
    return server.Settings(**{"url": served.url, "model": "tiny", "backoff": 0.01, "timeout": 10, **more})


def problem(served: Served, inputs, outputs, **more: object) -> str:
    with pytest.raises(job.JobError) as error:
        server.run(settings(served, **more), inputs(SETS), outputs)
    assert "Report of the server" not in str(error.value)
    return str(error.value)


def test_a_server_writes_every_set_and_nothing_is_asked_twice(served, inputs, outputs, vocabulary):
    served.answer = by_template(vocabulary)
    server.run(settings(served), inputs(SETS), outputs)
    reports = tables.read(outputs.reports, tables.WRITTEN)
    assert [list(names) for names in reports["concepts"]] == SETS
    asked, first = len(served.questions), outputs.reports.read_bytes()
    assert {question["model"] for question in served.questions} == {"tiny"}
    assert len({question["seed"] for question in served.questions}) == asked >= len(SETS)
    server.run(settings(served), inputs(SETS), outputs)
    assert len(served.questions) == asked and outputs.reports.read_bytes() == first
    server.run(settings(served, temperature=0.1), inputs(SETS), outputs)
    assert len(served.questions) >= asked + len(SETS), "another temperature is another question"


def test_a_wrong_answer_is_corrected_in_the_conversation(served, inputs, outputs, vocabulary):
    right = by_template(vocabulary)

    def answer(question: dict, number: int) -> tuple[int, dict, bytes]:
        first = len(question["messages"]) == 2
        return completion("FINDINGS: Rib fracture.\nIMPRESSION: Rib fracture.") if first else right(question, number)

    served.answer = answer
    server.run(settings(served), inputs(SETS), outputs)
    assert tables.read(outputs.reports, tables.WRITTEN)["rewrites"].min() >= 1
    again = [question for question in served.questions if len(question["messages"]) == 4]
    assert len(again) >= len(SETS)
    assert all(question["messages"][2]["content"].startswith("FINDINGS: Rib fracture.") for question in again[:1])
    assert "must not be: rib fracture" in again[0]["messages"][3]["content"]


def test_a_tiny_model_behind_the_server(served, inputs, outputs, model_folder):
    """A causal language model of random weights answers; its words are no reports, and each set is rejected."""
    import torch

    chosen = decoding.Settings(max_tokens=8)
    model, coder = decoding.load(model_folder, torch.device("cpu"), chosen)
    lock = threading.Lock()

    def answer(question: dict, number: int) -> tuple[int, dict, bytes]:
        prompt = coder.apply_chat_template(question["messages"], tokenize=False, add_generation_prompt=True)
        with lock:
            return completion(decoding.write(model, coder, [prompt], [question["seed"]], chosen)[0])

    served.answer = answer
    server.run(settings(served, max_rewrites=1, max_rejected=1), inputs(SETS[:2]), outputs)
    rejected = pd.read_csv(outputs.rejected)
    assert rejected["reason"].tolist() == ["no FINDINGS or no IMPRESSION, after 1 rewrites"] * 2
    assert len(served.questions) == 4


def test_several_questions_are_open_at_a_time_but_no_more_than_allowed(served, inputs, outputs, vocabulary):
    right, all_here = by_template(vocabulary), threading.Barrier(3)

    def answer(question: dict, number: int) -> tuple[int, dict, bytes]:
        if number < 6:
            all_here.wait(20)  # goes on only if three questions are open at once
        return right(question, number)

    served.answer = answer
    server.run(settings(served, concurrency=3), inputs(SETS), outputs)
    assert served.most_open == 3


@pytest.mark.parametrize("status", [500, 429, 503])
def test_trouble_that_passes(served, inputs, outputs, vocabulary, status):
    right = by_template(vocabulary)
    served.answer = lambda question, number: (status, {}, b"busy") if number < 3 else right(question, number)
    server.run(settings(served, concurrency=1), inputs(SETS), outputs)
    assert len(tables.read(outputs.reports, tables.WRITTEN)) == len(SETS)


def test_retry_after_is_kept_to(served, inputs, outputs, vocabulary):
    right, times = by_template(vocabulary), []

    def answer(question: dict, number: int) -> tuple[int, dict, bytes]:
        times.append(time.monotonic())
        return (429, {"Retry-After": "1"}, b"") if number == 0 else right(question, number)

    served.answer = answer
    server.run(settings(served, concurrency=1), inputs(SETS[:1]), outputs)
    assert times[1] - times[0] >= 1, "backoff alone would have asked again at once"


def test_a_time_out_is_asked_again(served, inputs, outputs, vocabulary):
    right, gone = by_template(vocabulary), threading.Event()

    def answer(question: dict, number: int) -> tuple[int, dict, bytes]:
        if number == 0:
            gone.wait(20)  # until the question was asked again
        gone.set()
        return right(question, number)

    served.answer = answer
    server.run(settings(served, concurrency=1, timeout=1), inputs(SETS[:1]), outputs)
    assert len(served.questions) >= 2


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": {}}]}'])
def test_answers_that_are_none(served, inputs, outputs, vocabulary, body):
    right = by_template(vocabulary)
    served.answer = lambda question, number: (200, {}, body) if number == 0 else right(question, number)
    server.run(settings(served, concurrency=1), inputs(SETS[:2]), outputs)
    served.answer = lambda question, number: (200, {}, body)
    told = problem(served, inputs, outputs, temperature=0.1, retries=2)
    assert "something else than a chat completion" in told and "3 times" in told


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "wants a key (HTTP 401)"),
        (404, "no model 'tiny' (HTTP 404)"),
        (400, "max_tokens = 600"),
        (302, "refused the question (HTTP 302)"),
    ],
)
def test_a_refusal_ends_the_job_at_once(served, inputs, outputs, status, said):
    served.answer = lambda question, number: (status, {"Location": "/else"}, b"Report of the server: secret")
    assert said in problem(served, inputs, outputs, concurrency=1)
    assert len(served.questions) == 1


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    served, inputs, outputs, vocabulary, monkeypatch, caplog, scratch, tmp_path
):
    monkeypatch.setenv("MY_KEY", "s3cr3t")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password wrong\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    served.answer = by_template(vocabulary)
    with caplog.at_level("DEBUG", logger="synvlp"):
        server.run(settings(served, key_variable="MY_KEY"), inputs(SETS[:2]), outputs)
        served.answer = lambda question, number: (401, {}, b"")
        told = problem(served, inputs, outputs, key_variable="MY_KEY", seed=1)
    assert set(served.keys) == {"Bearer s3cr3t"}
    assert "$MY_KEY, which it does not accept" in told
    kept = "".join(path.read_text() for path in scratch.rglob("*") if path.is_file())
    assert "s3cr3t" not in told + caplog.text + kept + outputs.rejected.read_text()
    monkeypatch.delenv("MY_KEY")
    assert "$MY_KEY, which is not set" in problem(served, inputs, outputs, key_variable="MY_KEY", seed=2)
    assert served.keys[-1] is None


def test_no_words_of_a_report_in_logs(served, inputs, outputs, caplog):
    served.answer = lambda question, number: completion("FINDINGS: Zebra stripes.\nIMPRESSION: Zebra.")
    with caplog.at_level("DEBUG"), pytest.raises(job.JobError) as error:
        server.run(settings(served, max_rewrites=1), inputs(SETS), outputs)
    assert "Zebra" not in caplog.text + str(error.value)


def test_what_was_answered_before_a_failure_is_not_asked_again(served, inputs, outputs, vocabulary):
    right = by_template(vocabulary)
    served.answer = lambda question, number: right(question, number) if number < 4 else (500, {}, b"")
    told = problem(served, inputs, outputs, concurrency=1, retries=1)
    assert "HTTP 500, also after 1 retries; answers so far are kept" in told
    known = {question["seed"] for question in served.questions[:4]}
    served.questions.clear()
    served.answer = right
    server.run(settings(served, concurrency=1, retries=1), inputs(SETS), outputs)
    assert not known & {question["seed"] for question in served.questions}
    assert len(tables.read(outputs.reports, tables.WRITTEN)) == len(SETS)


def test_no_server_and_wrong_addresses(inputs, outputs):
    def told(url: str) -> str:
        with pytest.raises(job.JobError) as error:
            server.run(server.Settings(url=url, model="m", retries=1, backoff=0), inputs(SETS[:1]), outputs)
        return str(error.value)

    assert "gave no answer (ConnectionError), also after 1 retries" in told("http://127.0.0.1:9/v1")
    for url in ("localhost:8000/v1", "http://name:word@localhost/v1", "file:///etc"):
        assert "http(s)://host:port/v1" in told(url) and "word@" not in told(url)


def test_the_command_line(served, inputs, outputs, vocabulary, capsys):
    served.answer = by_template(vocabulary)
    words = job.command("write-reports-server", settings(served), inputs(SETS), outputs)
    assert cli.main(words) == 0
    assert len(tables.read(outputs.reports, tables.WRITTEN)) == len(SETS)
    assert seeds.seed_of(0, "server", "written-000001", 0) % 2**31 in [one["seed"] for one in served.questions]
