"""What the two configuration files say, and that Envoy takes them."""

import base64
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from giftcard import v1
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2

from compat_http.envoy import config
from tests.edge.process import validate
from tests.edge.production import Site
from tests.ports import free_port

FILES: Final = (config.DEVELOPMENT, config.PRODUCTION)
#: What a site changes; nothing else may differ.
_ADDRESSES: Final = (
    "address",
    "path_config_source",
    "proto_descriptor",
    "allow_origin_string_match",
)


def _read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _manager(file: Path) -> Any:
    (listener,) = _read(file)["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    (network_filter,) = chain["filters"]
    return network_filter["typed_config"]


def _filters(file: Path) -> dict[str, Any]:
    """The HTTP filters in their order."""
    return {
        each["name"].rpartition(".")[2]: each["typed_config"]
        for each in _manager(file)["http_filters"]
    }


def _routes(file: Path) -> list[Any]:
    (host,) = _manager(file)["route_config"]["virtual_hosts"]
    routes: list[Any] = host["routes"]
    return routes


def _calls(file: Path) -> list[Any]:
    """The routes that calls leave by.  REST leaves as gRPC, and a preflight is answered here."""
    return [
        each
        for each in _routes(file)
        if "route" in each and each["name"] not in ("REST", "preflight")
    ]


def _buckets(file: Path) -> dict[str, Any]:
    """The rate limit of every route."""
    name = "envoy.filters.http.local_ratelimit"
    return {each["name"]: each["typed_per_filter_config"][name] for each in _calls(file)}


def _clusters(file: Path) -> dict[str, Any]:
    return {each["name"]: each for each in _read(file)["static_resources"]["clusters"]}


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(each, names) for key, each in value.items() if key not in names}
    if isinstance(value, list):
        return [_without(each, names) for each in value]
    return value


def _image() -> FileDescriptorSet:
    return FileDescriptorSet.FromString((config.ROOT / "generated/giftcard.binpb").read_bytes())


def test_envoy_takes_the_development_file(tmp_path: Path) -> None:
    said = validate(config.DEVELOPMENT.read_text(encoding="utf-8"), tmp_path)
    assert (said.returncode, said.stderr) == (0, "")


def test_envoy_takes_the_production_file(tmp_path: Path) -> None:
    said = validate(Site(tmp_path).configuration([free_port(), free_port()]), tmp_path)
    assert (said.returncode, said.stderr) == (0, "")


def test_envoy_refuses_what_is_misspelt(tmp_path: Path) -> None:
    """So that the two tests above can fail."""
    text = config.render(config.DEVELOPMENT, {"healthy_panic_threshold:": "healthy_panic:"})
    assert validate(text, tmp_path).returncode != 0


def test_production_listens_as_development_does() -> None:
    there, here = (
        _without(_read(file)["static_resources"]["listeners"], _ADDRESSES) for file in FILES
    )
    assert there == here


def test_production_calls_as_development_does() -> None:
    own = ("type", "load_assignment", "transport_socket")
    there, here = (_without(_clusters(file), own) for file in FILES)
    assert there == here


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
class TestEach:
    def test_the_administration_is_for_this_machine_only(self, file: Path) -> None:
        assert _read(file)["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"

    def test_what_is_down_gets_no_calls(self, file: Path) -> None:
        """Pitfall: by default Envoy panics, and calls a service that it knows to be down; and it
        tells its workers of a second change of health only a second after the first."""
        balancing = _clusters(file)["service"]["common_lb_config"]
        assert balancing == {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"}

    def test_a_rate_limit_counts_after_json_became_grpc(self, file: Path) -> None:
        """Pitfall: before the transcoder, JSON slips past the bucket of its method."""
        order = list(_filters(file))
        assert order.index("local_ratelimit") > order.index("grpc_json_transcoder")

    def test_every_route_to_a_service_has_a_limit(self, file: Path) -> None:
        for limit in _buckets(file).values():
            (of_one,) = limit["descriptors"]
            assert of_one["token_bucket"]["max_tokens"] < limit["token_bucket"]["max_tokens"]
            assert limit["filter_enforced"]["default_value"]["numerator"] == 100

    def test_look_ups_have_the_smallest_bucket(self, file: Path) -> None:
        rates = {
            name: limit["descriptors"][0]["token_bucket"]["tokens_per_fill"]
            for name, limit in _buckets(file).items()
        }
        look_ups = {"look-up by code", "CP Extender look-up", "Resico look-up", "iWAREHOUSE"}
        assert {rates.pop(name) for name in look_ups} == {20}
        assert min(rates.values()) > 20

    def test_only_reads_are_sent_again_after_they_may_have_arrived(self, file: Path) -> None:
        """Pitfall: a retry of what moves money, other than of what surely never arrived."""
        repeated = {
            route["name"]: set(route["route"]["retry_policy"]["retry_on"].split(","))
            for route in _calls(file)
        }
        never_arrived = {"connect-failure", "refused-stream"}
        assert {name for name, on in repeated.items() if on != never_arrived} == {"read"}

    def test_every_service_is_offered_as_json(self, file: Path) -> None:
        declared = [
            f"{each.package}.{service.name}" for each in _image().file for service in each.service
        ]
        assert sorted(_filters(file)["grpc_json_transcoder"]["services"]) == sorted(declared)

    def test_the_access_log_writes_no_path_but_a_method(self, file: Path) -> None:
        """Pitfalls: paths and queries hold card numbers; the gRPC status is logged wrong."""
        written = {
            (name, text)
            for log in _manager(file)["access_log"]
            for name, text in log["typed_config"]["log_format"]["json_format"].items()
        }
        assert {name for name, _ in written} == {
            "time", "route", "method", "status", "details", "flags", "attempts", "milliseconds",
            "bytes_in", "bytes_out", "peer", "request_id", "upstream",
        }  # fmt: skip
        read = {text for _, text in written if "REQ(" in text or "PATH" in text}
        assert read == {"%PATH(NQ:PATH)%", "%REQ(X-REQUEST-ID)%"}

    def test_what_envoy_answers_has_a_reason_of_the_contract(self, file: Path) -> None:
        reasons = []
        for mapper in _manager(file)["local_reply_config"]["mappers"]:
            for added in mapper.get("headers_to_add", ()):
                status = status_pb2.Status.FromString(base64.b64decode(added["header"]["value"]))
                info = error_details_pb2.ErrorInfo()
                assert status.details[0].Unpack(info)
                # Clients take a status for broken whose words are not those of the call.
                assert status.message == mapper["body"]["inline_string"]
                reasons.append((status.code, info.reason, info.domain))
            for detail in (
                mapper.get("body_format_override", {}).get("json_format", {}).get("details", ())
            ):
                if "reason" in detail:
                    code = mapper["body_format_override"]["json_format"]["code"]
                    reasons.append((code, detail["reason"], detail["domain"]))
        assert set(reasons) == {
            (14, "OUTCOME_UNKNOWN", "giftcard.v1"),
            (14, "UNAVAILABLE", "giftcard.v1"),
            (12, "UNIMPLEMENTED", "giftcard.v1"),
            (8, "OVERLOADED", "giftcard.v1"),
            (8, "REQUEST_TOO_LARGE", "giftcard.v1"),
            (3, "INVALID_FIELD", "giftcard.v1"),
        }
        assert {reason for _, reason, _ in reasons} <= set(v1.ErrorReason.keys())


def test_the_image_tells_envoy_how_to_write_errors() -> None:
    """Pitfall: without this file an error with details has an empty body."""
    assert "google/rpc/error_details.proto" in {each.name for each in _image().file}


def test_production_shows_and_asks_for_a_certificate() -> None:
    tls = _clusters(config.PRODUCTION)["service"]["transport_socket"]["typed_config"]
    common = tls["common_tls_context"]
    assert common["tls_certificate_sds_secret_configs"][0]["name"] == "client"
    names = common["combined_validation_context"]["default_validation_context"]
    assert names["match_typed_subject_alt_names"] == [
        {"san_type": "DNS", "matcher": {"exact": tls["sni"]}}
    ]


def test_production_has_two_replicas() -> None:
    (endpoints,) = _clusters(config.PRODUCTION)["service"]["load_assignment"]["endpoints"]
    assert len(endpoints["lb_endpoints"]) == 2


def test_a_file_that_changed_is_noticed() -> None:
    with pytest.raises(ValueError, match="does not contain"):
        config.render(config.DEVELOPMENT, {"port_value: 1234": "port_value: 1"})
