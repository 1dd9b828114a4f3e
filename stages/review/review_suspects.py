"""The review command: serve the suspects to this machine's browser until a person ends it.

In: `outliers.csv` and `outlier_kinds.csv` of `reports/TARGET`, `data/splits.csv`, the images. Out: decisions in
`data/review.csv`.
"""

import contextlib
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server

from stages.core.errors import StageError
from stages.core.images.files import ImageFolder
from stages.review.app import make_app
from stages.review.decisions import DecisionFile
from stages.review.settings import ReviewSettings
from stages.review.suspects import SuspectList, read_suspects

HOST = "127.0.0.1"
# For each part of a request: a page that is half sent must not hold a thread for ever.
REQUEST_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class ReviewPaths:
    """Paths that the review reads and writes.

    Attributes
    ----------
    results
        Folder with the results of find-outliers, a folder per target.
    splits
        The table of split.
    images
        The image root.
    review
        The file of decisions; it need not exist.
    """

    results: Path
    splits: Path
    images: ImageFolder
    review: Path


def review_suspects(
    *,
    target: str,
    settings: ReviewSettings,
    paths: ReviewPaths,
    port: int = 0,
    open_browser: bool = True,
    announce: Callable[[str], object] = print,
) -> str:
    """Serve the suspects of a target on the loopback interface until Ctrl-C or SIGTERM.

    Parameters
    ----------
    target
        The label column.
    settings
        Sizes.
    paths
        The files to read, and the file of decisions.
    port
        The port to listen on; 0 takes a free one.
    open_browser
        Whether to open the address in a browser.
    announce
        Called with the address once the server answers there.

    Returns
    -------
    str
        How many suspects are decided, and what to run next.

    Raises
    ------
    StageError
        If a table is missing or unreadable, or the port is taken.
    """
    listed = read_suspects(target, results=paths.results, splits=paths.splits)
    decisions = DecisionFile(paths.review, target)
    before = decisions.decisions()
    secret = secrets.token_urlsafe(32)
    with contextlib.closing(_listen(port)) as listener:
        port = listener.getsockname()[1]
        app = make_app(
            listed=listed,
            decisions=decisions,
            images=paths.images,
            settings=settings,
            secret=secret,
            port=port,
        )
        server = make_server(HOST, port, app, threaded=True, request_handler=QuietHandler, fd=listener.fileno())
        server.log = _log_nothing  # type: ignore[method-assign]
        url = f"http://{HOST}:{port}/{secret}/"
        # Ctrl-C and SIGTERM end the server.
        with contextlib.suppress(KeyboardInterrupt):
            announce(f"{len(listed.suspects):,} images of {target} to review, until Ctrl-C: {url}")
            if open_browser:
                # In a thread: on some systems the call returns only when the browser is closed.
                threading.Thread(target=_open, args=(url,), daemon=True).start()
            server.serve_forever()
        server.server_close()
    return _summary(listed, decisions, changed=decisions.decisions() != before)


class QuietHandler(WSGIRequestHandler):
    """Logs nothing, since every address holds the secret, and waits for no request that does not arrive."""

    timeout = REQUEST_TIMEOUT_S

    def log(self, type: str, message: str, *args: object) -> None:
        """Log nothing."""


def _log_nothing(type: str, message: str, *args: object) -> None:
    """Log nothing: a traceback of the server may hold the address of the request."""


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise StageError(
            f"cannot listen on port {port} of {HOST}: {error.strerror}: leave out --port to take a free one"
        ) from None


def _open(url: str) -> None:
    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(url)


def _summary(listed: SuspectList, decisions: DecisionFile, *, changed: bool) -> str:
    made = decisions.decisions()
    looked_at = len(listed.decided(made))
    first = f"{looked_at} of {len(listed.suspects)} images looked at; {decisions.path} has {_counted(len(made))}"
    return f"{first}. Next: `dvc repro` trains on them." if made or changed else f"{first}."


def _counted(decisions: int) -> str:
    return "1 decision" if decisions == 1 else f"{decisions:,} decisions"
