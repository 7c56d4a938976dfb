"""Connections that break between clients and a server, and a server that dies."""

import asyncio
import random
from typing import Final, Self

from tests.fault_proxy import FaultProxy
from tests.grpc_server import GrpcServer

_PROXIES: Final = 4
_CUT_BYTES_MAX: Final = 2000
_DELAY_SECONDS: Final = 0.02
_BETWEEN_SECONDS: Final = (0.02, 0.2)


class Troubles:
    """Proxies before a running server.  It keeps its port, so that they find it again."""

    def __init__(self, server: GrpcServer, dice: random.Random) -> None:
        self.kills = 0
        self._server = server
        self._dice = dice
        self._proxies = [FaultProxy(server.address) for _ in range(_PROXIES)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for proxy in self._proxies:
            proxy.__exit__(None, None, None)

    @property
    def addresses(self) -> list[str]:
        return [proxy.address for proxy in self._proxies]

    @property
    def cuts(self) -> int:
        return sum(proxy.cuts for proxy in self._proxies)

    async def disturb(self, *, kill: bool) -> None:
        """One trouble; returns when it is over."""
        await asyncio.sleep(self._dice.uniform(*_BETWEEN_SECONDS))
        if kill:
            self.kills += 1
            await asyncio.to_thread(self._server.kill)
            await asyncio.to_thread(self._server.start)
            return
        for proxy in self._dice.sample(self._proxies, _PROXIES - 1):
            self._break(proxy)
            await asyncio.sleep(self._dice.uniform(*_BETWEEN_SECONDS))
        for proxy in self._proxies:
            proxy.heal()

    def _break(self, proxy: FaultProxy) -> None:
        match self._dice.randrange(5):
            case 0:
                proxy.cut_after(self._dice.randrange(_CUT_BYTES_MAX))
            case 1:
                proxy.cut_after(self._dice.randrange(_CUT_BYTES_MAX), way="questions", reset=True)
            case 2:
                proxy.break_off(reset=True)
            case 3:
                proxy.black_hole()
            case _:
                proxy.delay(_DELAY_SECONDS)
