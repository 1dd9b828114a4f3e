"""Access to the review server: only from the page whose address holds the secret.

In: a request. Out: nothing, or 403. Other sites that are open in the browser may send requests to this machine. They do
not know the secret, and their host names (DNS rebinding) and origins (cross-site requests) are refused.
"""

import hmac

from flask import Request, abort

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """Checks every request, whatever its path.

    Parameters
    ----------
    secret
        The first part of every path.
    port
        The port that the server listens on.
    """

    def __init__(self, secret: str, port: int) -> None:
        self._secret = secret.encode("ascii")
        self._hosts = {f"{name}:{port}" for name in LOOPBACK} | (set(LOOPBACK) if port == 80 else set())

    def check(self, request: Request) -> None:
        """Refuse a request that lacks the secret, names another host, or writes from another page.

        Raises
        ------
        Forbidden
            HTTP 403, without the reason.
        """
        host = request.headers.get("Host", "").lower()
        first = request.path.removeprefix("/").partition("/")[0]
        allowed = host in self._hosts and hmac.compare_digest(first.encode("utf-8"), self._secret)
        if request.method not in ("GET", "HEAD"):
            # A browser sends the page's origin with every request that writes.
            allowed = allowed and request.headers.get("Origin", "").lower() == f"http://{host}"
        if not allowed:
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
