"""production.yaml as a site would set it up, on one machine: certificates, replicas, Envoy.

site = Site(directory)
with GrpcServer(url, directory, environment=site.settings, ...) as server:
    server.start()
    with Envoy(site.configuration([port_of(server)]), site.folder) as envoy:
        site.caller(envoy).call(...)
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from compat_http.envoy import config
from tests.certificates import Authority, replace
from tests.edge.envoy import Caller
from tests.edge.process import Envoy
from tests.grpc_server import GrpcServer
from tests.ports import free_port

#: What production.yaml expects the service's certificate to be for.
NAME: Final = "giftcard.internal"
_INSTALLED: Final = "/etc/giftcard/edge"


class Site:
    """One authority signs all: what callers see, and what Envoy and the service show each other."""

    def __init__(self, directory: Path, *, service_name: str = NAME) -> None:
        self.folder = directory / "edge"
        self.authority = Authority()
        for name in ("tls", "service"):
            (self.folder / name).mkdir(parents=True)
            self.renew(name)
        self._trusted = self.authority.write(self.folder / "service", "authority")
        pair = self.authority.issue(names=[service_name]).write(self.folder, "server")
        for file in config.PRODUCTION_CERTIFICATES.glob("*.yaml"):
            described = config.render(file, {_INSTALLED: str(self.folder)})
            (self.folder / file.name).write_text(described, encoding="utf-8")
        #: Of the service.
        self.settings: Mapping[str, str] = {
            "GIFTCARD_TLS_CERTIFICATE_FILE": str(pair.certificate_file),
            "GIFTCARD_TLS_KEY_FILE": str(pair.key_file),
            "GIFTCARD_TLS_CLIENT_CA_FILE": str(self._trusted),
        }

    def renew(self, name: str) -> None:
        """Renames a new pair into `tls` or `service`."""
        signed = self.authority.issue("edge")
        replace(self.folder / name / "key.pem", signed.key)
        replace(self.folder / name / "certificate.pem", signed.certificate)

    def configuration(self, ports: Sequence[int], changes: Mapping[str, str] = {}) -> str:
        """The file for replicas at these two ports of 127.0.0.1; there is no shim."""
        first, second = ports
        at = "address: {}, port_value: {}"
        local = "127.0.0.1"
        return config.render(
            config.PRODUCTION,
            {
                at.format("0.0.0.0", 8443): at.format(local, 0),
                at.format(local, 9901): at.format(local, 0),
                at.format("giftcard-1.internal", 50051): at.format(local, first),
                at.format("giftcard-2.internal", 50051): at.format(local, second),
                at.format(local, 8080): at.format(local, free_port()),
                f"{_INSTALLED}/giftcard.binpb": os.fspath(config.ROOT / "generated/giftcard.binpb"),
                _INSTALLED: str(self.folder),
                **changes,
            },
        )

    def caller(self, envoy: Envoy) -> Caller:
        return Caller(envoy.port, self._trusted)


def port_of(server: GrpcServer) -> int:
    return int(server.address.rpartition(":")[2])
