"""Who may speak to the review server: this machine's browser, from the page whose address holds the token.

In: a request. Out: nothing, or 403. Any other site that a person has open may send requests here as well; it cannot
know the token, and neither a name that it lets point to this machine nor its own origin passes.
"""

import hmac

from flask import Request, abort

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """Checks every request, whatever its path.

    Parameters
    ----------
    token
        The first part of every path.
    port
        The port that the server listens on.
    """

    def __init__(self, token: str, port: int) -> None:
        self._token = token.encode("ascii")
        self._hosts = {f"{name}:{port}" for name in LOOPBACK} | (set(LOOPBACK) if port == 80 else set())

    def check(self, request: Request) -> None:
        """Refuse a request that lacks the token, names another host, or writes from another page.

        Raises
        ------
        Forbidden
            HTTP 403, without saying which of them it was.
        """
        host = request.headers.get("Host", "").lower()
        first = request.path.removeprefix("/").partition("/")[0]
        may = host in self._hosts and hmac.compare_digest(first.encode("utf-8"), self._token)
        if request.method not in ("GET", "HEAD"):
            # A browser names the page's origin with every request that writes.
            may = may and request.headers.get("Origin", "").lower() == f"http://{host}"
        if not may:
            abort(403)


HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
