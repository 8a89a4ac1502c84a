"""What the API counts, in the registry that it is given."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class ApiMetrics:
    """Labels are registered method names, error names and fixed words only, so that no caller can invent series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "catenary_api_calls", "Calls answered, by method and outcome.", ["method", "outcome"], registry=registry
        )
        self.seconds = Histogram(
            "catenary_api_call_seconds", "Time from a call's start to its answer.", ["method"], registry=registry
        )
        self.connections = Gauge("catenary_api_connections", "Open connections.", registry=registry)
        self.pausing = Gauge(
            "catenary_api_connections_pausing", "Of addresses that owe something, not spoken to yet.", registry=registry
        )
        self.subscriptions = Gauge("catenary_api_subscriptions", "Open subscriptions.", registry=registry)
        self.refused = Counter(
            "catenary_api_refused", "Requests refused before any call, by reason.", ["reason"], registry=registry
        )
        self.closed = Counter(
            "catenary_api_websockets_closed", "WebSockets closed by the node, by reason.", ["reason"], registry=registry
        )
        self.incidents = Counter("catenary_api_incidents", "Failures of the node's own.", registry=registry)
