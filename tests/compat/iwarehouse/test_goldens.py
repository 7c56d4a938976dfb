"""iWAREHOUSE over real HTTP against the real server: each conversation is a golden on disk."""

import re
from typing import Final
from urllib.parse import urlencode

import pytest

from tests.compat.goldens import Goldens, Step
from tests.compat.stage import ShimServer, call

PATH: Final = "/core/sales/cards/gift/gift_api.asp"
LOGIN: Final = "log=demo&pwd=demo"
VOLATILE: Final = (
    (re.compile(r'"CardKey":[0-9]+'), '"CardKey":(a number)'),
    (re.compile(r'"CardCode":"GC[0-9A-HJKMNP-TV-Z]{16}"'), '"CardCode":"GC(16 symbols)"'),
    # The cards of the demo are older, and 2099 is no year that is counted from today.
    *(
        (re.compile(rf'"{member}":"[0-9]{{1,2}}/[0-9]{{2}}/20(?:2[3-9]|[3-8][0-9])"'),
         f'"{member}":"({words})"')
        for member, words in (
            ("CardOpeningDteTme", "today"), ("CardExpiryDate", "counted from today"),
        )
    ),
)  # fmt: skip


def get(query: str, **headers: str) -> Step:
    return Step("GET", f"{PATH}?{query}", "", headers)


def ask(query: str, **headers: str) -> Step:
    return get(f"{LOGIN}&{query}", **headers)


SCENARIOS: Final[dict[str, list[Step]]] = {
    "vendor-examples": [ask("qty=100&expiresyears=3"), ask("card=GCQ22X9HE1")],
    "read": [
        ask("card=gcq22x9he1"),
        ask("card=12399"),
        ask("card=1234567"),
        ask("card=WEB-9198262557214413"),
        ask("card=%20gcq22x9he1%20&qty="),
        Step("GET", f"{PATH.upper()}?LOG=demo&PWD=demo&CARD=GCQ22X9HE1"),
    ],
    "create": [
        ask("qty=57.5"),
        ask("qty=57.23&expiresdays=30"),
        ask("qty=57.00&expiresmonths=6"),
        ask("qty=100&expires=31/12/2099"),
        ask("qty=100&expires=2099-12-31"),
        ask("qty=1&expires=4%2F03%2F2099"),
    ],
    "repeats": [
        ask("qty=100&ref=golden-1&expires=4/03/2099"),
        ask("qty=100.00&ref=golden-1&expires=2099-03-04"),
        ask("qty=101&ref=golden-1&expires=4/03/2099"),
        ask("qty=100&ref=golden-1&expires=5/03/2099"),
        ask("qty=100&ref=golden-2&expiresyears=3"),
        ask("qty=100&ref=golden-2&expiresyears=3"),
        ask("qty=100&ref=golden-2&expiresyears=2"),
    ],
    "ahead-of-time": [
        Step("HEAD", f"{PATH}?{LOGIN}&qty=100"),
        ask("qty=100", **{"Sec-Purpose": "prefetch"}),
        ask("qty=100", Purpose="prefetch"),
        ask("card=GCQ22X9HE1", Purpose="prefetch"),
        Step("POST", f"{PATH}?{LOGIN}&qty=100"),
    ],
    "refused": [
        ask(""),
        ask("qty=100&card=GCQ22X9HE1"),
        ask("qty=0"),
        ask("qty=-100"),
        ask("qty=ten"),
        ask("qty=57.235"),
        ask("qty=100&qty=100"),
        ask("qty=0.99"),
        ask("qty=500.01"),
        ask("qty=100&expires=4/03/2022"),
        ask("qty=100&expires=31/02/2099"),
        ask("qty=100&expiresyears=0"),
        ask("qty=100&expiresyears=1&expiresdays=1"),
        ask("card=GCNOSUCHCARD"),
        ask("card=%C3%84"),
        ask("card=%FF"),
    ],
    "unauthorized": [
        get("qty=100"),
        get("log=demo&qty=100"),
        get("log=demo&pwd=wrong&qty=100"),
        get("log=nobody&pwd=demo&qty=100"),
        get("log=demo&pwd=wrong&card=GCQ22X9HE1"),
        # Credentials travel in the query and nowhere else.
        get("card=GCQ22X9HE1", Authorization="Bearer demo-service-token"),
    ],
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_golden(untouched_shim: ShimServer, goldens: Goldens, name: str) -> None:
    goldens.check(name, untouched_shim.address, SCENARIOS[name], VOLATILE)


def test_no_golden_is_left_over(goldens: Goldens) -> None:
    assert {path.stem for path in goldens.folder.glob("*.txt")} == set(SCENARIOS)


def test_codes_are_new_in_upper_case_and_read_in_any(shim: ShimServer) -> None:
    codes = set()
    for _ in range(20):
        created = call(shim.address, "GET", f"{PATH}?{LOGIN}&qty=100&expires=31/12/2099").json
        code = created["CardCode"]
        assert re.fullmatch(r"GC[0-9A-Z]{16}", code)
        codes.add(code)
        spaced = f"{code[:6]}-{code[6:]} ".swapcase()
        query = urlencode({"log": "demo", "pwd": "demo", "card": spaced})
        read = call(shim.address, "GET", f"{PATH}?{query}").json
        assert read == {**created, "CardCode": spaced.strip().upper()}
        assert read["CardCode"].replace("-", "") == code
    assert len(codes) == 20


def test_a_repeat_creates_no_second_card(shim: ShimServer) -> None:
    target = f"{PATH}?{LOGIN}&qty=100&ref=one-card"
    answers = {call(shim.address, "GET", target).body for _ in range(3)}
    assert len(answers) == 1
