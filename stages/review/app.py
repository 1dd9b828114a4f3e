"""The review server's requests: the page, its pictures, and decisions.

In: HTTP requests, checked by `Guard`. Out: HTML, WebP, and a line in `data/review.csv` for every decision answered
with 200.
"""

from typing import Any

from flask import Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException

from cache.errors import CacheError
from stages.core.errors import StageError
from stages.core.images.files import ImageFolder, UnusableImage
from stages.core.pages.render import TEMPLATES as SHARED_TEMPLATES
from stages.core.tables.decisions import VERDICTS
from stages.core.tables.labels import label_problem, normalise
from stages.review.decisions import DecisionFile
from stages.review.guard import HEADERS, Guard
from stages.review.page import TEMPLATES, Query, describe_decision, render
from stages.review.pictures import Pictures
from stages.review.settings import ReviewSettings
from stages.review.suspects import Suspect, SuspectList

LARGEST_REQUEST_BYTES = 16 * 1024
ASSETS = {
    "style.css": (SHARED_TEMPLATES, "text/css"),
    "review.css": (TEMPLATES, "text/css"),
    "review.js": (TEMPLATES, "text/javascript"),
}


class RefusedDecision(Exception):
    """A decision that cannot be accepted; its text is shown on the page."""


def make_app(
    *,
    listed: SuspectList,
    decisions: DecisionFile,
    images: ImageFolder,
    settings: ReviewSettings,
    secret: str,
    port: int,
) -> Flask:
    """Make the WSGI application.

    Parameters
    ----------
    listed
        The suspects.
    decisions
        Where decisions are kept.
    images
        The image root.
    settings
        Sizes.
    secret
        The first part of every path.
    port
        The port it will be served on.
    """
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST_BYTES
    guard, pictures = Guard(secret, port), Pictures(images, listed.images, settings, listed.digests)
    app.before_request(lambda: guard.check(request))
    app.after_request(_with_headers)
    app.register_error_handler(HTTPException, lambda error: _message(error.description or "", error.code or 500))
    app.register_error_handler(RefusedDecision, lambda error: _message(str(error), 422))
    app.register_error_handler(StageError, lambda error: _message(str(error), 503))
    app.register_error_handler(CacheError, lambda error: _message(str(error), 503))
    app.register_error_handler(OSError, lambda error: _message(f"not written: {error}", 503))
    # Flask would log any other error with its address, which holds the secret.
    app.register_error_handler(Exception, lambda error: _message(_describe(error), 500))

    @app.get(f"/{secret}/")
    def page() -> str:
        return render(listed, decisions.decisions(), Query.parse(request.args), settings.page_size)

    @app.get(f"/{secret}/<any({', '.join(ASSETS)!s}):name>")
    def asset(name: str) -> Response:
        folder, media_type = ASSETS[name]
        return Response((folder / name).read_bytes(), content_type=f"{media_type}; charset=utf-8")

    @app.get(f"/{secret}/image/<int:number>/<any({', '.join(pictures.sizes)}):size>")
    def picture(number: int, size: str) -> Response:
        try:
            content, media_type = pictures.get(number, size)
        except LookupError:
            abort(404)
        return Response(content, content_type=media_type)

    @app.post(f"/{secret}/decisions")
    def decide() -> Response:
        suspect, decision, label = _parse_decision(request.get_json(), listed)
        if decision == "undo":
            decisions.undo(suspect.image)
            verdict = ""
        else:
            digest = _check_digest(listed, pictures, suspect.image)
            made = decisions.record(image=suspect.image, sha256=digest, decision=decision, label=label)
            verdict = describe_decision(made, listed.target)
        decided = listed.decided(decisions.decisions())
        return jsonify(verdict=verdict, decided=len(decided))

    return app


def _parse_decision(body: Any, listed: SuspectList) -> tuple[Suspect, str, str]:
    """Parse a decision: a suspect's number, one of the verdicts or undo, and a label."""
    if not isinstance(body, dict):
        abort(400, "a decision is a JSON object")
    number, decision, label = body.get("number"), body.get("decision"), body.get("label", "")
    if type(number) is not int or not 0 <= number < len(listed.suspects):
        abort(400, "there is no such image in the list")
    if not isinstance(decision, str) or decision not in (*VERDICTS, "undo") or not isinstance(label, str):
        abort(400, f"a decision is one of {', '.join(VERDICTS)}, undo")
    suspect, label = listed.suspects[number], normalise(label) if decision == "label_wrong" else ""
    if decision == "label_wrong":
        if label == suspect.y_true:
            raise RefusedDecision("The image already has this label.")
        if label not in listed.classes and (problem := label_problem(label)):
            raise RefusedDecision(f"Not a label: {problem}.")
    return suspect, decision, label


def _check_digest(listed: SuspectList, pictures: Pictures, image: str) -> str:
    """Compute the file's SHA-256; refuse a file that has changed since the outliers were found."""
    try:
        digest = pictures.digest(image)
    except UnusableImage as error:
        raise RefusedDecision(f"Its file cannot be read ({error.reason}): run `dvc repro`.") from None
    if digest != listed.digests.get(image, digest):
        raise RefusedDecision("Its file has changed since the outliers were found: run `dvc repro`, then review again.")
    return digest


def _with_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    # Also for pictures: another server may use the port later, with other images under the same numbers.
    response.headers["Cache-Control"] = "no-store"
    return response


def _describe(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the request is nested too deeply"
    return f"{type(error).__name__} in the server"


def _message(text: str, status: int) -> tuple[Response, int]:
    return jsonify(problem=text), status
