"""The admin address as a monitoring system sees it."""

import json
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.compat.stage import Said, call

#: Settings of a server and of a shim that serve their admin address on a free port.
ADMIN: Final[Mapping[str, str]] = MappingProxyType({
    "GIFTCARD_ADMIN_ADDRESS": "127.0.0.1:0", "GIFTCARD_HTTP_ADMIN_ADDRESS": "127.0.0.1:0",
})  # fmt: skip
_SECONDS: Final = 60


def admin_addresses(log: str) -> list[str]:
    """Where processes that were started with `ADMIN` say that they serve it."""
    said = [line for line in log.splitlines() if "the admin address is served" in line]
    return [json.loads(line)["address"] for line in said]


def admin_address(log: str) -> str:
    """That of the last start."""
    return admin_addresses(log)[-1]


def get(address: str, page: str) -> Said:
    return call(address, "GET", page)


class Scrape:
    """One look at /metrics."""

    def __init__(self, address: str) -> None:
        said = get(address, "/metrics")
        assert said.status == 200
        self.text = said.body.decode()
        self.families = {
            family.name: family for family in text_string_to_metric_families(self.text)
        }
        self.samples: list[Sample] = [
            sample for family in self.families.values() for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        """The sum over all samples that have these labels; 0 where there are none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def wait_for(address: str, page: str, status: int) -> str:
    """Returns what a page says, once it answers with this status."""
    deadline = time.monotonic() + _SECONDS
    while (said := get(address, page)).status != status:
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    return said.body.decode()
