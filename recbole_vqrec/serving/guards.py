"""Middleware around the service: requests are counted and timed, and none may be too large."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.responses import JSONResponse

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")  # a client may send any word
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """The service's numbers in the Prometheus format, one registry a service."""

    def __init__(self):
        self.registry = CollectorRegistry()
        labels = ["path", "method", "status"]
        named = {"registry": self.registry}
        self.requests = Counter("recbole_vqrec_requests", "Requests answered", labels, **named)
        self.seconds = Histogram("recbole_vqrec_request_seconds", "Time to answer", ["path"], buckets=SECONDS, **named)
        self.items = Gauge("recbole_vqrec_items", "Items that are recommended", **named)
        self.unknown = Counter("recbole_vqrec_unknown_items", "Unknown item ids in histories, left out", **named)
        self.popular = Counter("recbole_vqrec_by_popularity", "Histories without a known item", **named)


class CountRequests:
    """Counts and times every request under the pattern of its path, so that ids make no labels."""

    def __init__(self, app, metrics):
        self.app, self.metrics = app, metrics

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start, status = time.perf_counter(), 500

        async def watched(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if path != "other" and scope["method"] in METHODS else "other"
            self.metrics.requests.labels(path, method, status).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - start)


class LimitSize:
    """Answers 413 to a request of more than `most` bytes, announced or not, before it is held in memory."""

    def __init__(self, app, most):
        self.app, self.most = app, most

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > 18 or int(announced) > self.most:
            return await self._refuse(scope, receive, send)
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None  # the client has gone
            body += message.get("body", b"")
            if len(body) > self.most:
                return await self._refuse(scope, receive, send)
            if not message.get("more_body"):
                break
        sent = False

        async def replay():
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        return await self.app(scope, replay, send)

    async def _refuse(self, scope, receive, send):
        detail = f"the request has more than {self.most:,} bytes; send it in parts"
        await JSONResponse({"detail": detail}, status_code=413)(scope, receive, send)
