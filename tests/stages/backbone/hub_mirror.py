"""A mirror of the Hugging Face hub on this machine: what its client needs to look up and download files."""

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

COMMIT = "c0ffee00" * 5


@dataclass
class HubMirror:
    """Repositories by their names, and what was asked for.

    Attributes
    ----------
    repositories
        Files by name and repository; each is served at every revision.
    closed
        Repositories that are only for those who accepted their terms.
    requests
        Method and path of each request.
    bytes_per_s
        How fast files are sent; None sends them at once.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    requests: list[tuple[str, str]] = field(default_factory=list)
    bytes_per_s: int | None = None
    url: str = ""

    def requests_for(self, repository: str) -> set[tuple[str, str]]:
        """Methods, and revision and file, of what was asked of a repository; the client asks other things too."""
        start = f"/{repository}/resolve/"
        return {(method, path.removeprefix(start)) for method, path in self.requests if path.startswith(start)}

    def respond(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.requests.append((handler.command, handler.path))
        repository, _, rest = handler.path.strip("/").partition("/resolve/")
        files = self.repositories.get(repository)
        content = (files or {}).get(rest.partition("/")[2])
        if files is None or repository in self.closed or content is None:
            error = "RepoNotFound" if files is None else "GatedRepo" if repository in self.closed else "EntryNotFound"
            handler.send_response(403 if error == "GatedRepo" else 404)
            handler.send_header("X-Error-Code", error)
            content = b""
        else:
            handler.send_response(200)
            handler.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        handler.send_header("X-Repo-Commit", COMMIT)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command == "GET":
            self._send(handler, content)

    def _send(self, handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
        size = len(content) if self.bytes_per_s is None else self.bytes_per_s // 10
        try:
            for start in range(0, len(content), max(size, 1)):
                handler.wfile.write(content[start : start + size])
                if self.bytes_per_s is not None:
                    time.sleep(0.1)
        except OSError:
            pass  # the client was ended, as it should be


@contextmanager
def serving() -> Iterator[HubMirror]:
    """Serve a mirror without repositories on a free port of this machine."""
    mirror = HubMirror()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.respond(self)

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        mirror.url = f"http://127.0.0.1:{server.server_port}"
        yield mirror
        server.shutdown()
