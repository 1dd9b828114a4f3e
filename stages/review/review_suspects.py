"""The review command: serve the suspects to this machine's browser until a person ends it.

In: `reports/TARGET/outliers.csv`, `data/splits.csv`, the images. Out: decisions in `data/review.csv`.
"""

import contextlib
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server

from stages.core.errors import StageError
from stages.core.images.files import ImageFolder
from stages.review.app import make_app
from stages.review.decisions import DecisionFile
from stages.review.settings import ReviewSettings
from stages.review.suspects import Collection, read_suspects

HOST = "127.0.0.1"


def review_suspects(
    *,
    target: str,
    settings: ReviewSettings,
    results: Path,
    splits: Path,
    images: ImageFolder,
    review: Path,
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
    results, splits, images
        The folder `reports`, the table of split, the image root.
    review
        The file of decisions.
    port
        Where to listen; 0 takes a free port.
    open_browser
        Whether to open the address in a browser.
    announce
        Called with the address as soon as requests are answered there.

    Returns
    -------
    str
        How much is decided, and what to run next.

    Raises
    ------
    StageError
        If a table is missing or unreadable, or the port is taken.
    """
    collection = read_suspects(target, results=results, splits=splits)
    decisions = DecisionFile(review, target)
    before = decisions.decisions()
    token = secrets.token_urlsafe(32)
    with contextlib.closing(_listening(port)) as listener:
        port = listener.getsockname()[1]
        app = make_app(
            collection=collection, decisions=decisions, images=images, settings=settings, token=token, port=port
        )
        server = make_server(HOST, port, app, threaded=True, request_handler=QuietHandler, fd=listener.fileno())
        url = f"http://{HOST}:{port}/{token}/"
        # Answers until someone ends it politely.
        with contextlib.suppress(KeyboardInterrupt):
            announce(f"{len(collection.suspects):,} images of {target} to review, until Ctrl-C: {url}")
            if open_browser:
                # A thread: some systems' openers wait until the browser is closed.
                threading.Thread(target=_open, args=(url,), daemon=True).start()
            server.serve_forever()
        server.server_close()
    return _summary(collection, decisions, changed=decisions.decisions() != before)


class QuietHandler(WSGIRequestHandler):
    """Logs nothing: every address holds the token."""

    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise StageError(
            f"cannot listen on port {port} of {HOST}: {error.strerror}: leave out --port to take a free one"
        ) from None


def _open(url: str) -> None:
    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(url)


def _summary(collection: Collection, decisions: DecisionFile, *, changed: bool) -> str:
    made = decisions.decisions()
    looked_at = len(collection.decided(made))
    first = f"{looked_at} of {len(collection.suspects)} images looked at; {decisions.path} has {_counted(len(made))}"
    return f"{first}. Next: `dvc repro` trains on them." if made or changed else f"{first}."


def _counted(decisions: int) -> str:
    return "1 decision" if decisions == 1 else f"{decisions:,} decisions"
