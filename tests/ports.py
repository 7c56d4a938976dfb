"""Free TCP ports for tests and benchmarks. Knows nothing of what will listen there."""

import socket

__all__ = ["free_port"]


def free_port() -> int:
    """Returns a loopback TCP port that nothing listens on now.

    Another process may take it before the caller does. A server that can choose its own port
    (port 0) should; this is for those that must be told one.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
