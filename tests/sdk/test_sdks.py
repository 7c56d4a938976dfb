"""The quick starts in TypeScript, Go and Java: generated, compiled and run as their pages say."""

import json
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.edge.envoy import Edge
from tests.grpc_server import GrpcServer
from tests.sdk.losing_relay import LosingRelay

_ROOT: Final = Path(__file__).parents[2]
_HERE: Final = Path(__file__).parent
_PRINTED: Final = (_HERE / "expected.txt").read_text()
_TOKEN: Final = "demo-service-token"
#: Cold, it fetches and compiles what the language needs.
_TIMEOUT_SECONDS: Final = 600
_CALLS: Final = 9
#: Maven says this even when it is to be quiet and without colours.
_RESET: Final = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Language:
    """How its page runs the program, what must be on the machine, and where the program stands."""

    name: str
    command: tuple[str, ...]
    tools: tuple[str, ...]
    source: str
    fence: str

    @property
    def folder(self) -> Path:
        return _HERE / self.name

    @property
    def page(self) -> str:
        return (_ROOT / f"docs/sdk/{self.name}.md").read_text()


TYPESCRIPT: Final = Language(
    "typescript", ("npm", "--silent", "start"), ("node", "npm"), "src/main.ts", "ts"
)
GO: Final = Language("go", ("go", "run", "."), ("go",), "main.go", "go")
JAVA: Final = Language(
    "java", ("mvn", "-q", "compile", "exec:java"), ("java", "javac", "mvn"),
    "src/main/java/QuickStart.java", "java",
)  # fmt: skip
LANGUAGES: Final = (TYPESCRIPT, GO, JAVA)
each_language = pytest.mark.parametrize("language", LANGUAGES, ids=lambda each: each.name)


def _generate(language: Language) -> None:
    """`make sdk-…`, which does nothing where nothing has changed."""
    missing = [tool for tool in ("make", *language.tools) if shutil.which(tool) is None]
    if missing:
        pytest.fail(f"The {language.name} client needs {' and '.join(missing)}.", pytrace=False)
    # What make tells its children through these is meant for the make that runs the tests.
    own = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(
        ["make", f"sdk-{language.name}"],
        cwd=_ROOT, env=own, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _run(language: Language, server: str, **more: str) -> str:
    """What the program prints; its environment is this one, with no settings but those given."""
    _generate(language)
    own = {name: text for name, text in os.environ.items() if not name.startswith("GIFTCARD_")}
    done = subprocess.run(
        language.command,
        cwd=language.folder,
        env={**own, "GIFTCARD_SERVER": server, "GIFTCARD_TOKEN": _TOKEN, **more},
        capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.replace(_RESET, "")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcServer]:
    directory = tmp_path_factory.mktemp("server")
    url = f"sqlite:///{directory / 'giftcard.db'}"
    with GrpcServer(url, directory, environment={"GIFTCARD_DEMO": "1"}) as running:
        running.start()
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with Edge(tmp_path_factory.mktemp("edge")) as running:
        running.start()
        yield running
        assert running.stop() == 0


@each_language
def test_the_money_moves_once_when_every_answer_is_lost_once(
    language: Language, server: GrpcServer
) -> None:
    with LosingRelay(server.address) as relay:
        assert _run(language, relay.address) == _PRINTED
    assert (relay.answers, relay.lost) == (2 * _CALLS, _CALLS)


def test_go_through_envoy_with_tls(edge: Edge) -> None:
    assert _run(GO, f"127.0.0.1:{edge.port}", GIFTCARD_CA_FILE=str(edge.certificate)) == _PRINTED


def test_typescript_through_envoy_by_grpc_web(edge: Edge) -> None:
    printed = _run(
        TYPESCRIPT,
        f"127.0.0.1:{edge.port}",
        GIFTCARD_CA_FILE=str(edge.certificate),
        GIFTCARD_PROTOCOL="grpc-web",
    )
    assert printed == _PRINTED
    # Envoy counts what came as gRPC-Web by method.
    counted = re.findall(r"grpc-web\.\S+\.total: (\d+)", edge.admin("/stats").decode())
    assert sum(map(int, counted)) == _CALLS


@each_language
def test_the_code_comes_from_the_image_without_a_network(
    language: Language, tmp_path: Path
) -> None:
    """And is the same each time: what `make` left there."""
    _generate(language)
    closed = {f"{scheme}_proxy": "http://127.0.0.1:1" for scheme in ("http", "https")}
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    subprocess.run(
        [str(buf), "generate", "--output", str(tmp_path)],
        cwd=language.folder,
        env={**os.environ, **closed, "GOPROXY": "off", "GOFLAGS": "-mod=readonly"},
        check=True,
    )
    assert _files(tmp_path / "gen") == _files(language.folder / "gen")


def _files(folder: Path) -> dict[str, str]:
    """Texts by name, without the mark that make leaves there."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".made"
    }


@each_language
def test_the_page_shows_the_program_and_what_it_prints(language: Language) -> None:
    program = (language.folder / language.source).read_text()
    assert f"```{language.fence}\n{program}```" in language.page
    assert f"```\n{_PRINTED}```" in language.page
    command = " ".join(language.command).replace(" --silent", "")
    assert command in language.page
    assert f"make sdk-{language.name}" in language.page


def test_versions_are_exact() -> None:
    wanted = json.loads((TYPESCRIPT.folder / "package.json").read_text())
    versions = [*wanted["dependencies"].values(), *wanted["devDependencies"].values()]
    project = (JAVA.folder / "pom.xml").read_text()
    versions += re.findall(r"<(?:\w+\.)?version>([^<]+)</(?:\w+\.)?version>", project)
    known = re.compile(r"\d+(\.\d+)*|\$\{\w+\.version\}")
    assert [each for each in versions if not known.fullmatch(each)] == []


@pytest.mark.parametrize("name", ["typescript/package-lock.json", "go/go.sum", "java/pom.xml"])
def test_no_registry_is_named(name: str) -> None:
    text = (_HERE / name).read_text()
    assert not re.search(r'"resolved"|<repositor|<pluginRepositor', text)
    hosts = set(re.findall(r"https?://([^/\"]+)", text))
    assert hosts <= {"maven.apache.org", "www.w3.org", "github.com", "opencollective.com"}, hosts
