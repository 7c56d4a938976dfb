"""docs/cp_extender.md says what really happens: one example at least for every method."""

from pathlib import Path

import pytest

from tests.compat import documented
from tests.compat.cp_extender.steps import CP
from tests.compat.cp_extender.test_goldens import VOLATILE
from tests.compat.stage import ShimServer
from tests.grpc_server import GrpcServer

PAGE = Path(__file__).parents[3] / "docs" / "cp_extender.md"


def test_the_examples(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    regenerate: bool = request.config.getoption("--regenerate-goldens")
    url = f"sqlite:///{tmp_path / 'giftcard.db'}"
    with (
        GrpcServer(url, tmp_path, environment={"GIFTCARD_DEMO": "1"}) as server,
        ShimServer(server.start(), tmp_path) as shim,
    ):
        address = shim.start()
        count = documented.check(PAGE, address, VOLATILE, regenerate=regenerate)
    assert count >= len(CP.routes)


def test_every_method_is_there() -> None:
    examples = PAGE.read_text().partition("## Operations")[2].lower()
    methods = {route.path.replace("/{card_id}", "").replace("/{customer_id}", "")
               for route in CP.routes}  # fmt: skip
    missing = [each for each in sorted(methods) if f"**{each[1:].lower()}**" not in examples]
    assert missing == []
