"""The pages in docs/ say what really happens, with one example at least for every operation."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from compat_http.dialects.retail7 import OPERATIONS
from tests.compat import documented
from tests.compat.cp_extender.steps import CP
from tests.compat.cp_extender.test_goldens import VOLATILE as CP_VOLATILE
from tests.compat.iwarehouse.test_goldens import VOLATILE as IWAREHOUSE_VOLATILE
from tests.compat.retail7.test_goldens import VOLATILE as RETAIL7_VOLATILE
from tests.compat.stage import ShimServer
from tests.grpc_server import GrpcServer

DOCS: Final = Path(__file__).parents[2] / "docs"

#: A card sold without a first day is valid from the day of sale.
FIRST_DAY: Final = (re.compile(r'"validFrom":"[0-9-]+"'), '"validFrom":"…"')
CP_METHODS: Final = {re.sub(r"/\{\w+\}", "", route.path)[1:].lower() for route in CP.routes}
RESICO_CALLS: Final = (
    "$ shop cards/RS00000045\n", "$ shop cards/RS00000045 '", "$ shop reserve/",
    "$ shop cancelreserve/RS00000045\n", "$ shop cancelreserve/RS00000045 '' -X POST",
    "$ shop transactions/",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """A page, what differs between two runs of it, and what must stand in it, in any case."""

    name: str
    volatile: documented.Volatile
    operations: tuple[str, ...]

    @property
    def path(self) -> Path:
        return DOCS / f"{self.name}.md"


PAGES: Final = (
    Page("retail7", (*RETAIL7_VOLATILE, FIRST_DAY),
         tuple(f'"operationType": "{each}"' for each in OPERATIONS)),
    Page("cp_extender", CP_VOLATILE, tuple(f"**{each}**" for each in sorted(CP_METHODS))),
    Page("resico", (), RESICO_CALLS),
    Page("iwarehouse", IWAREHOUSE_VOLATILE, ("$ api 'qty=", "$ api 'card=")),
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples(tmp_path: Path, request: pytest.FixtureRequest, page: Page) -> None:
    regenerate: bool = request.config.getoption("--regenerate-goldens")
    url = f"sqlite:///{tmp_path / 'giftcard.db'}"
    with (
        GrpcServer(url, tmp_path, environment={"GIFTCARD_DEMO": "1"}) as server,
        ShimServer(server.start(), tmp_path) as shim,
    ):
        places = {"127.0.0.1:8080": shim.start()}
        count = documented.check(page.path, places, page.volatile, regenerate=regenerate)
    assert count >= len(page.operations)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_operation_is_there(page: Page) -> None:
    examples = page.path.read_text().partition("## Operations")[2].lower()
    assert [each for each in page.operations if each.lower() not in examples] == []


def test_every_page_with_examples_is_run() -> None:
    with_examples = {path.stem for path in DOCS.glob("*.md") if "```console" in path.read_text()}
    assert with_examples == {page.name for page in PAGES}
