"""docs/retail7.md says what really happens: one example at least for every operation."""

import re
from pathlib import Path

import pytest

from compat_http.dialects.retail7 import OPERATIONS
from tests.compat import documented
from tests.compat.retail7.test_goldens import VOLATILE
from tests.compat.stage import ShimServer
from tests.grpc_server import GrpcServer

PAGE = Path(__file__).parents[3] / "docs" / "retail7.md"
#: A card sold without a first day is valid from the day of sale.
DAY = (re.compile(r'"validFrom":"[0-9-]+"'), '"validFrom":"…"')


def test_the_examples(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    regenerate: bool = request.config.getoption("--regenerate-goldens")
    url = f"sqlite:///{tmp_path / 'giftcard.db'}"
    with (
        GrpcServer(url, tmp_path, environment={"GIFTCARD_DEMO": "1"}) as server,
        ShimServer(server.start(), tmp_path) as shim,
    ):
        address = shim.start()
        count = documented.check(PAGE, address, (*VOLATILE, DAY), regenerate=regenerate)
    assert count >= len(OPERATIONS)


def test_every_operation_is_there() -> None:
    text = PAGE.read_text()
    missing = [each for each in OPERATIONS if f'"operationType": "{each}"' not in text]
    assert missing == []
