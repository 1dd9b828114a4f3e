"""The review server as a real process: who may speak to it, what it writes, and what survives its end."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pytest
from PIL import Image

from stages.core.errors import StageError
from stages.core.tables.decisions import COLUMNS
from stages.review.decisions import DecisionFile
from tests.chain import adopt_project
from tests.conftest import REPOSITORY, run_pipeline
from tests.stages.review.conftest import ARABIC, HOSTILE_IMAGE, IMAGES, QUOTED, Project, Served

Serve = Callable[..., Served]


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve()


def secret_of(served: Served) -> str:
    return urlsplit(served.url).path.strip("/")


def test_ctrl_c_ends_it_with_what_was_decided_and_what_to_run_next(served: Served) -> None:
    assert served.decide(0, "fine") == 200
    code, printed = served.stop()
    assert code == 0
    assert "1 of 8 images looked at; data/review.csv has 1 decision. Next: `dvc repro`" in printed


def test_it_listens_on_loopback_only(untouched: Served) -> None:
    port = urlsplit(untouched.url).port
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    addresses = [line.split()[1] for line in table if line.split()[1].endswith(f":{port:04X}")]
    assert set(addresses) == {f"0100007F:{port:04X}"}


def test_every_server_has_its_own_secret(serve: Serve) -> None:
    secrets = {secret_of(serve()) for _ in range(2)}
    assert len(secrets) == 2
    assert all(len(secret) >= 43 for secret in secrets)


def test_the_browser_is_opened_at_the_address(serve: Serve, tmp_path: Path) -> None:
    opener, seen = tmp_path / "opener", tmp_path / "seen"
    opener.write_text(f'#!/bin/sh\necho "$1" > {seen}.new && mv {seen}.new {seen}\n')
    opener.chmod(0o755)
    served = serve(env={"BROWSER": f"{opener} %s"})
    while not seen.exists():
        served.request()
    assert seen.read_text().strip() == served.url


@pytest.mark.parametrize("secret", ["", "wrong", "é", "{}x", "x{}"])
@pytest.mark.parametrize("path", ["", "style.css", "image/0/card", "decisions"])
def test_without_the_secret_nothing_is_read_or_written(untouched: Served, secret: str, path: str) -> None:
    root = f"/{secret.format(secret_of(untouched))}/{path}".replace("é", "%C3%A9")
    body = {"number": 0, "decision": "fine", "label": ""}
    for method in ("GET", "POST"):
        status, content = untouched.request(root, method=method, body=body)
        assert status == 403
        assert b"plain/" not in content


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "127.0.0.1.nip:80"]
)
def test_another_hosts_name_is_refused(untouched: Served, host: str) -> None:
    headers = {"Host": host.format(port=urlsplit(untouched.url).port) or " "}
    assert untouched.request(headers=headers)[0] == 403
    assert untouched.request("image/0/card", headers=headers)[0] == 403
    assert untouched.decide(0, "fine", headers=headers) == 403


@pytest.mark.parametrize(
    "origin", ["", "null", "http://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1:1"]
)
def test_another_origin_may_not_write(untouched: Served, origin: str) -> None:
    assert untouched.decide(0, "fine", headers={"Origin": origin.format(port=urlsplit(untouched.url).port)}) == 403


def test_localhost_is_this_machine_too(served: Served) -> None:
    host = f"localhost:{urlsplit(served.url).port}"
    assert served.decide(0, "fine", headers={"Host": host, "Origin": f"http://{host}"}) == 200


@pytest.mark.parametrize(
    "path",
    [
        "image/../../params.yaml", "image/..%2f..%2fparams.yaml/card", "image/%2e%2e/%2e%2e/labels.csv",
        "../data/splits.csv", "image/plain/00.png", "image/-1/card", "image/99999/card", "image/0/huge",
        "image/0x0/card", "image//etc/passwd", "review.js/../review.html", "templates/review.html",
    ],
)  # fmt: skip
def test_a_path_in_the_request_leads_nowhere(untouched: Served, path: str) -> None:
    status, content = untouched.request(path)
    assert status in (403, 404, 308)
    assert b"source" not in content
    assert b"sha256" not in content


def test_pictures_are_encoded_again_and_none_comes_from_outside_the_image_root(
    served: Served, project: Project
) -> None:
    status, content = served.request("image/0/card")
    assert status == 200
    assert content[8:12] == b"WEBP"
    outside = 9  # after eight suspects and their first neighbour
    status, content = served.request(f"image/{outside}/card")
    assert b"outside root" in content
    assert Image.open(project.root / "secret.png").size == (80, 64)  # it is there to be found


def test_pages_may_load_nothing_from_elsewhere_and_leak_no_address(untouched: Served) -> None:
    parts = urlsplit(untouched.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.request("GET", parts.path)
    headers = connection.getresponse().headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_a_decision_is_written_with_the_digest_of_the_file(served: Served, project: Project) -> None:
    assert served.decide(1, "label_wrong", QUOTED) == 200
    (row,) = project.decisions()
    assert list(row) == COLUMNS
    assert row["image"] == HOSTILE_IMAGE
    assert row["sha256"] == project.sha256(HOSTILE_IMAGE)
    assert (row["target"], row["decision"], row["label"]) == ("genre", "label_wrong", QUOTED)
    assert row["when"].endswith("+00:00")


def test_a_second_decision_replaces_the_first_and_undo_removes_it(served: Served, project: Project) -> None:
    served.decide(0, "fine")
    served.decide(2, "image_bad")
    served.decide(0, "label_wrong", "")
    assert [(row["image"], row["decision"]) for row in project.decisions()] == [
        ("plain/02.png", "image_bad"),
        ("plain/00.png", "label_wrong"),
    ]
    served.decide(0, "undo")
    served.decide(0, "undo")
    assert [row["image"] for row in project.decisions()] == ["plain/02.png"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"number": 0, "decision": "delete"}, 400),
        ({"number": 8, "decision": "fine"}, 400),
        ({"number": -1, "decision": "fine"}, 400),
        ({"number": True, "decision": "fine"}, 400),
        ({"number": "plain/00.png", "decision": "fine"}, 400),
        ({"number": 0, "decision": ["fine"]}, 400),
        ({"number": 0, "decision": "label_wrong", "label": 3}, 400),
        ([], 400),
        ({"number": 0, "decision": "label_wrong", "label": "a\nb"}, 422),
        ({"number": 0, "decision": "label_wrong", "label": "=cmd()"}, 422),
        ({"number": 0, "decision": "label_wrong", "label": "x" * 201}, 422),
        ({"number": 0, "decision": "label_wrong", "label": "\ud800"}, 422),
        ({"number": 0, "decision": "label_wrong", "label": "portrait"}, 422),
        ({"number": 0, "decision": "label_wrong", "label": "x" * 20_000}, 413),
    ],
)
def test_what_is_no_decision_is_refused_with_a_reason(untouched: Served, body: object, status: int) -> None:
    answer, content = untouched.request("decisions", method="POST", body=body)
    assert answer == status
    assert json.loads(content)["problem"]


def test_a_file_that_changed_since_it_was_judged_cannot_be_decided_on(served: Served, project: Project) -> None:
    path = project.root / "images" / project.names[0]
    path.write_bytes(path.read_bytes() + b"more")
    status, content = served.request("decisions", method="POST", body={"number": 0, "decision": "fine"})
    assert status == 422
    assert "changed" in json.loads(content)["problem"]
    assert not project.review.exists()


def test_sigkill_loses_no_decision_that_was_answered(served: Served, project: Project) -> None:
    acknowledged: list[tuple[int, str]] = []

    def decide_until_killed() -> None:
        try:
            for turn in range(10_000):
                number, label = turn % 8, f"class {turn}"
                if served.decide(number, "label_wrong", label) == 200:
                    acknowledged.append((number, label))
        except (OSError, ConnectionError):
            pass

    thread = threading.Thread(target=decide_until_killed)
    thread.start()
    while len(acknowledged) < 15:
        thread.join(0.01)
    served.process.send_signal(signal.SIGKILL)
    thread.join()
    kept = {row["image"]: row["label"] for row in project.decisions()}
    last = dict(acknowledged)
    # The one after the last that was answered may have been written too.
    in_flight = f"class {len(acknowledged)}"
    for number, label in last.items():
        assert kept[project.names[number]] in (label, in_flight)


def test_two_servers_at_once_lose_none_of_each_others_decisions(serve: Serve, project: Project) -> None:
    first, second = serve(), serve()

    def decide(served: Served, numbers: range) -> None:
        for number in numbers:
            assert served.decide(number, "label_wrong", f"new {number}") == 200

    threads = [threading.Thread(target=decide, args=(s, r)) for s, r in ((first, range(4)), (second, range(4, 8)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row["image"]: row["label"] for row in project.decisions()} == {
        project.names[number]: f"new {number}" for number in range(8)
    }
    assert b"8</span> of 8 looked at" in first.request()[1]


def test_rows_of_other_targets_and_by_hand_are_kept(serve: Serve, project: Project) -> None:
    by_hand = f"plain/00.png,{'0' * 64},style,label_wrong,{ARABIC},\nplain/03.png,,genre,maybe,,long ago\n"
    project.review.write_text(f"{','.join(COLUMNS)}\n{by_hand}", encoding="utf-8")
    served = serve()
    served.decide(0, "fine")
    served.decide(0, "undo")
    assert project.review.read_text(encoding="utf-8") == f"{','.join(COLUMNS)}\n{by_hand}"


def test_decisions_on_an_earlier_file_count_as_none_and_bad_images_are_bad_for_every_target(
    serve: Serve, project: Project
) -> None:
    first, _, third = project.names[:3]
    rows = f"{first},{'0' * 64},genre,fine,,\n{third},{project.sha256(third)},style,image_bad,,\n"
    project.review.write_text(f"{','.join(COLUMNS)}\n{rows}", encoding="utf-8")
    served = serve()
    page = served.request()[1]
    assert b"1</span> of 8 looked at" in page
    assert b'id="image-0"' in page
    assert page.count(b"Decided before its file changed") == 1
    assert b"Image bad (decided under style)" in served.request("?show=decided")[1]
    served.decide(2, "undo")
    assert [row["image"] for row in project.decisions()] == [first]


@pytest.mark.parametrize(
    "content", ["image,label\n", "image,sha256,target,decision,label,when,note\n", "\x00\n", "a,\xff\n"]
)
def test_a_file_that_cannot_be_kept_as_it_is_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "review.csv"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(StageError, match=r"review\.csv, row 1.*fix or remove"):
        DecisionFile(path, "genre")
    assert path.read_text(encoding="latin-1") == content


def test_a_taken_port_is_said_in_one_line(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run_pipeline("review", "--target", "genre", "--no-browser", "--port", port, cwd=project.root)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"port {port}" in result.stderr


def test_a_missing_table_names_the_command_that_makes_it(project: Project) -> None:
    (project.root / "reports/genre/outliers.csv").unlink()
    result = run_pipeline("review", "--target", "genre", "--no-browser", cwd=project.root)
    assert result.returncode == 1
    assert "pipeline find-outliers --target genre" in result.stderr


def test_the_server_is_not_imported_for_help() -> None:
    code = "import sys; from pipeline import commands; sys.exit('flask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def test_pages_follow_one_another_without_skipping_what_was_decided_in_between(served: Served) -> None:
    assert b'id="image-4"' in served.request()[1]
    for number in range(3):
        served.decide(number, "fine")
    page = served.request("?from=5")[1]
    assert [number for number in range(IMAGES) if f'id="image-{number}"'.encode() in page] == [5, 6, 7]
    again = served.request("?show=undecided")[1]
    assert [number for number in range(IMAGES) if f'id="image-{number}"'.encode() in again] == [3, 4, 5, 6, 7]


def test_filters(served: Served) -> None:
    served.decide(2, "image_bad")
    for query, numbers in [
        ("?kind=low_confidence", [4, 5, 6, 7]),
        ("?class=portrait&show=all", [0, 5]),
        ("?show=decided", [2]),
        ("?kind=nothing", []),
        ("?from=x&show=y", [0, 1, 3, 4, 5]),
        ("?from=99999999999999999999", [0, 1, 3, 4, 5]),
    ]:
        page = served.request(query)[1]
        assert [number for number in range(IMAGES) if f'id="image-{number}"'.encode() in page] == numbers, query


def raw(served: Served, content: bytes, *, close: bool = True, timeout_s: float = 60) -> bytes:
    """Send bytes as they are; the answer, as far as one comes."""
    parts = urlsplit(served.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=timeout_s) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(content)
            if close:
                connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                answer += part
        return answer


def head(served: Served, length: object = "", **headers: str) -> bytes:
    """The head of a request that decides."""
    parts = urlsplit(served.url)
    lines = [f"POST {parts.path}decisions HTTP/1.1", f"Host: {parts.netloc}", f"Origin: http://{parts.netloc}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {length}"] if length != "" else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


JSON = {"Content_Type": "application/json"}
GOOD = b'{"number": 0, "decision": "fine", "label": ""}'


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * 10_000_000, JSON, (413,)),
        (b"[" * 16_000, JSON, (400, 500)),
        (b'{"number": ' + b"1" * 5_000 + b"}", JSON, (400,)),
        (b'{"number": 1e999, "decision": "fine"}', JSON, (400,)),
        (b'{"number": NaN, "decision": "fine"}', JSON, (400,)),
        (b"\xff\xfe{", JSON, (400,)),
        (b"", JSON, (400,)),
        (GOOD, {"Content_Type": "text/plain"}, (415,)),
        (GOOD, {"Content_Type": "application/x-www-form-urlencoded"}, (415,)),
        (GOOD, {}, (415,)),
        (GOOD, JSON | {"Content_Encoding": "gzip"}, (200, 400)),
    ],
    ids=["10 MB", "deep", "5,000 digits", "infinite", "NaN", "no UTF-8", "empty", "text", "form", "no type", "gzip"],
)
def test_hostile_bodies_are_refused_and_the_next_request_is_answered(
    served: Served, body: bytes, headers: dict[str, str], status: tuple[int, ...]
) -> None:
    answer = raw(served, head(served, len(body), **headers) + body, close=False)
    # A client that is still sending may see the connection closed before it reads the answer.
    assert not answer or int(answer.split()[1]) in status
    assert answer or len(body) > 1_000_000
    assert served.decide(1, "fine") == 200


@pytest.mark.parametrize("length", ["-1", "abc", "99999999999999999999", "1e3", "47, 47"])
def test_a_length_that_is_none_or_wrong_is_refused(served: Served, project: Project, length: str) -> None:
    answer = raw(served, head(served, length, **JSON) + GOOD)
    assert not answer or int(answer.split()[1]) in (400, 411, 413, 415)
    assert not project.review.exists()
    assert served.decide(1, "fine") == 200


def test_requests_that_are_half_sent_hold_up_no_other(served: Served, project: Project) -> None:
    """Sixty that send half a body or half a head and wait, and one that is whole."""
    parts = urlsplit(served.url)
    halves = [head(served, len(GOOD), **JSON) + GOOD[:10], head(served)[:40], b""]
    waiting = [socket.create_connection((parts.hostname, parts.port)) for _ in range(60)]
    for number, connection in enumerate(waiting):
        connection.sendall(halves[number % 3])
    started = time.monotonic()
    assert served.decide(1, "fine") == 200
    assert time.monotonic() - started < 10
    waiting[0].settimeout(60)
    assert b" 200 " not in waiting[0].recv(65536)  # it is given up
    for connection in waiting:
        connection.close()
    assert [row["image"] for row in project.decisions()] == [HOSTILE_IMAGE]


def test_a_hundred_decisions_at_once_are_all_kept(served: Served, project: Project) -> None:
    """Fifty rounds over eight images from twenty threads: what was acknowledged last for an image is in the file."""
    answered: list[int] = []

    def decide(number: int) -> None:
        for label in ("a", "b", "c", "d", "e"):
            answered.append(served.decide(number % 8, "label_wrong", f"{label} {number // 8}"))

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answered == [200] * 100
    rows = project.decisions()
    assert sorted(row["image"] for row in rows) == sorted(project.names[:8])
    assert {row["label"][0] for row in rows} == {"e"}


def test_a_hundred_decisions_on_different_images_are_all_kept(tmp_path: Path) -> None:
    decisions = DecisionFile(tmp_path / "review.csv", "genre")
    with ThreadPoolExecutor(100) as pool:
        made = [
            pool.submit(decisions.record, image=f"{number}.png", sha256="0" * 64, decision="fine")
            for number in range(100)
        ]
    assert all(future.result() for future in made)
    assert len(decisions.decisions()) == 100


def test_the_secret_is_in_no_log_and_no_trace(project: Project) -> None:
    """Neither of refused requests, nor of errors in the server: here a file of decisions that cannot be read."""
    log = project.root / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "review", "--target", "genre", "--no-browser", "--debug"],
            cwd=project.root, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE, stderr=errors,
            text=True,
        )  # fmt: skip
        line = process.stdout.readline()
        served = Served(process, line[line.index("http://") :].strip())
        secret = secret_of(served)
        served.request()
        served.request("image/99999/card")
        raw(served, head(served, 16_000, **JSON) + b"[" * 16_000)
        raw(served, head(served, 100, **JSON) + b"half")
        raw(served, f"GET /{secret}/ HTTP/9.9\r\n\r\n".encode())
        raw(served, f"NONSENSE /{secret}/\r\n\r\n".encode())
        project.review.mkdir(parents=True)
        assert served.decide(0, "fine") == 503
        assert served.request()[0] == 503
        project.review.rmdir()
        code, printed = served.stop()
    assert code == 0
    assert secret not in printed
    assert secret.encode() not in log.read_bytes()
    assert all(secret.encode() not in path.read_bytes() for path in project.root.rglob("*") if path.is_file())


def test_characters_that_are_not_seen_are_shown(project: Project, serve: Serve) -> None:
    hidden = "portrait\u202etxt", "port\u200brait", "\ufeffportrait"
    table = pd.read_csv(project.root / "reports/genre/outliers.csv", keep_default_na=False)
    table.loc[:2, "y_true"] = hidden
    table.to_csv(project.root / "reports/genre/outliers.csv", index=False)
    splits = pd.read_csv(project.root / "data/splits.csv", keep_default_na=False)
    splits.loc[[0, 1, 2], "genre"] = hidden
    splits.to_csv(project.root / "data/splits.csv", index=False)
    adopt_project(project.root, ["genre"])
    served = serve()
    page = served.request()[1].decode()
    shown = re.sub(r'value="[^"]*"', "", page)
    assert not set("\u202e\u200b\ufeff") & set(shown)
    for text in ("portrait⟨U+202E⟩txt", "port⟨U+200B⟩rait", "⟨U+FEFF⟩portrait"):
        assert f"<bdi>{text}</bdi>" in page
    assert served.decide(3, "label_wrong", "o\u00b7ther") == 200
