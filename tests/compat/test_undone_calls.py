"""Resico and iWAREHOUSE calls whose outcome stays unknown: 504, and the reversal is queued.

One line is a request, what upstream says before it falls silent, and what has to be undone.
"""

import itertools
from pathlib import Path
from typing import Any

import pytest
from giftcard import v1

from compat_http.dialect import LegacyRequest
from compat_http.engine import Call
from tests.compat.drive import FRESH_ID
from tests.compat.iwarehouse import test_operations as iwarehouse
from tests.compat.resico import test_operations as resico
from tests.compat.resico.requests import ask
from tests.compat.test_engine import CALLER, stage

IWAREHOUSE, RESICO = iwarehouse.IWAREHOUSE, resico.RESICO
HOLDS = v1.ListHoldsResponse(holds=[resico.hold(resico.ME)])
QTY = {"qty": "100"}

CALLS: list[tuple[Any, str, LegacyRequest, list[Any], str]] = [
    (RESICO, "sellCard", ask("sellCard"), [resico.PROGRAM],
     "resico/SELL/SHOP1/00000045/0001/5723"),
    (RESICO, "useCard", ask("useCard"), [resico.caller(), *resico.known()],
     f"resico/USE/{FRESH_ID}"),
    (RESICO, "useCard", ask("useCard", key="k1"), [resico.caller(), *resico.known()],
     "resico/USE/KEY/k1"),
    (RESICO, "reserveCard", ask("reserveCard"), resico.known(), f"resico/RESERVE/{FRESH_ID}"),
    (RESICO, "cancelReserve", ask("cancelReserve"),
     [*resico.known(**resico.HELD), resico.caller(), HOLDS], f"resico/CANCELRESERVE/{FRESH_ID}"),
    (IWAREHOUSE, "giftcard", iwarehouse.ask(QTY), [], f"iwarehouse/CREATE/{FRESH_ID}"),
    (IWAREHOUSE, "giftcard", iwarehouse.ask({**QTY, "ref": "r"}), [], "iwarehouse/CREATE/REF/r"),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "name", "legacy", "before", "key"), CALLS)
async def test_what_stays_unknown_is_undone(
    tmp_path: Path, dialect: Any, name: str, legacy: LegacyRequest, before: list[Any], key: str
) -> None:
    route = next(route for route in dialect.routes if route.name == name)
    # A clock that moves when it is looked at: no test waits for time to pass.
    clock = itertools.count(0.0, 0.8).__next__
    async with stage(tmp_path, *before, "OUTCOME_UNKNOWN", monotonic=clock) as on:
        reply = await on.engine.run(Call(dialect, route), legacy, CALLER)
        assert reply.status == 504
        assert len(on.script.asked) > len(before) + 1, "it was asked again before it was given up"
        sent = {data for _, data, _ in on.script.asked[len(before) :]}
        assert len(sent) == 1, "under the same id"
        assert await on.store.take_back(CALLER, key)
