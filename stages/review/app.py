"""The review server's requests: the page, its pictures, and decisions.

In: HTTP, already checked by `Guard`. Out: HTML, WebP, and a line in `data/review.csv` for every decision that is
answered with 200.
"""

import hashlib
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException

from stages.core.errors import StageError
from stages.core.images.files import ImageFolder, UnusableImage
from stages.core.pages.render import TEMPLATES as REPORT_TEMPLATES
from stages.core.tables.decisions import VERDICTS
from stages.core.tables.labels import label_problem, normalise
from stages.review.decisions import DecisionFile
from stages.review.guard import HEADERS, Guard
from stages.review.page import TEMPLATES, Query, render, said
from stages.review.pictures import Pictures
from stages.review.settings import ReviewSettings
from stages.review.suspects import Collection, Suspect

LARGEST_REQUEST_BYTES = 16 * 1024
ASSETS = {
    "style.css": (REPORT_TEMPLATES, "text/css"),
    "review.css": (TEMPLATES, "text/css"),
    "review.js": (TEMPLATES, "text/javascript"),
}


class Refused(Exception):
    """A decision that cannot be taken; the person at the page reads why."""


def make_app(
    *,
    collection: Collection,
    decisions: DecisionFile,
    images: ImageFolder,
    settings: ReviewSettings,
    token: str,
    port: int,
) -> Flask:
    """Make the WSGI application.

    Parameters
    ----------
    collection
        The suspects.
    decisions
        Where decisions are kept.
    images
        The image root.
    settings
        Sizes.
    token
        The first part of every path.
    port
        The port it will be served on.
    """
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST_BYTES
    guard, pictures = Guard(token, port), Pictures(images, collection.images, settings)
    app.before_request(lambda: guard.check(request))
    app.after_request(_with_headers)
    app.register_error_handler(HTTPException, lambda error: _message(error.description or "", error.code or 500))
    app.register_error_handler(Refused, lambda error: _message(str(error), 422))
    app.register_error_handler(StageError, lambda error: _message(str(error), 503))
    app.register_error_handler(OSError, lambda error: _message(f"not written: {error}", 503))

    @app.get(f"/{token}/")
    def page() -> str:
        return render(collection, decisions.decisions(), Query.of(request.args), settings.page_size)

    @app.get(f"/{token}/<any({', '.join(ASSETS)!s}):name>")
    def asset(name: str) -> Response:
        folder, media_type = ASSETS[name]
        return Response((folder / name).read_bytes(), content_type=f"{media_type}; charset=utf-8")

    @app.get(f"/{token}/image/<int:number>/<any({', '.join(pictures.sizes)}):size>")
    def picture(number: int, size: str) -> Response:
        try:
            content, media_type = pictures.get(number, size)
        except LookupError:
            abort(404)
        return Response(content, content_type=media_type)

    @app.post(f"/{token}/decisions")
    def decide() -> Response:
        suspect, decision, label = _asked(request.get_json(), collection)
        if decision == "undo":
            decisions.undo(suspect.image)
            verdict = ""
        else:
            digest = _digest(collection, images, suspect.image)
            made = decisions.record(image=suspect.image, sha256=digest, decision=decision, label=label)
            verdict = said(made, collection.target)
        decided = collection.decided(decisions.decisions())
        return jsonify(verdict=verdict, decided=len(decided))

    return app


def _asked(body: Any, collection: Collection) -> tuple[Suspect, str, str]:
    """Read a decision: a suspect's number, one of the verdicts or undo, and a label."""
    if not isinstance(body, dict):
        abort(400, "a decision is a JSON object")
    number, decision, label = body.get("number"), body.get("decision"), body.get("label", "")
    if type(number) is not int or not 0 <= number < len(collection.suspects):
        abort(400, "there is no such image in the list")
    if decision not in (*VERDICTS, "undo") or not isinstance(label, str):
        abort(400, f"a decision is one of {', '.join(VERDICTS)}, undo")
    suspect, label = collection.suspects[number], normalise(label) if decision == "label_wrong" else ""
    if decision == "label_wrong":
        if label == suspect.y_true:
            raise Refused("That is the label it has.")
        if problem := label_problem(label):
            raise Refused(f"Not a label: {problem}.")
    return suspect, decision, label


def _digest(collection: Collection, images: ImageFolder, image: str) -> str:
    """SHA-256 of the file, if it is the one that the outliers were found with."""
    try:
        return hashlib.sha256(images.read(image, sha256=collection.digests.get(image))).hexdigest()
    except UnusableImage as error:
        if error.reason == "changed":
            message = "Its file has changed since it was looked at: run `dvc repro`, then review again."
        else:
            message = f"Its file cannot be read ({error.reason}): run `dvc repro`."
        raise Refused(message) from None


def _with_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    # Pictures too: another server may use the port later, and its image 3 is another one.
    response.headers["Cache-Control"] = "no-store"
    return response


def _message(text: str, status: int) -> tuple[Response, int]:
    return jsonify(problem=text), status
