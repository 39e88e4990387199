"""What `scripts/conformance` lets pass of what the Autobahn testsuite says; not the testsuite."""

import importlib.machinery
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.servers.running import ROOT

RIGHT: dict[str, Any] = {"behavior": "OK", "behaviorClose": "OK", "remoteCloseCode": 1000}


@pytest.fixture(scope="module")
def conformance() -> ModuleType:
    """The script, as a module."""
    loader = importlib.machinery.SourceFileLoader("conformance", str(ROOT / "scripts/conformance"))
    spec = importlib.util.spec_from_loader("conformance", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"behavior": "FAILED"}, "FAILED"),
    ({"behaviorClose": "UNCLEAN"}, "close UNCLEAN"),
    ({"behaviorClose": "WRONG CODE"}, "close WRONG CODE"),
    ({"remoteCloseCode": None}, "no close code from the server"),
    ({"closeFrames": 0}, "0 close frames from the server"),
    ({"closeFrames": 2}, "2 close frames from the server"),
]


@pytest.mark.parametrize(("differing", "told"), WRONG)
def test_a_wrong_or_silent_end_fails(
    conformance: ModuleType,
    capsys: pytest.CaptureFixture[str],
    differing: dict[str, Any],
    told: str,
) -> None:
    """The testsuite says OK of a server that merely drops the connection."""
    cases = {f"1.{n}": {**RIGHT, "closeFrames": 1} for n in range(conformance.CASES)}
    assert conformance.is_right("server", cases)

    cases["1.7"] |= differing

    assert not conformance.is_right("server", cases)
    assert f"  1.7: {told}\n" in capsys.readouterr().out


def test_only_the_echo_of_a_close_without_a_code_has_none(conformance: ModuleType) -> None:
    """RFC 6455 §5.5.1: an answer repeats the code, and here there is none."""
    codeless = {**RIGHT, "closeFrames": 1, "remoteCloseCode": None}

    assert conformance.wrongs_of("7.3.1", codeless) == []
    assert conformance.wrongs_of("7.3.2", codeless) == ["no close code from the server"]


@pytest.mark.parametrize(("frames", "number"), [({"1": 2, "8": 1}, 1), ({"1": 2}, 0), (None, 0)])
def test_close_frames_are_counted_in_the_report_of_a_case(
    conformance: ModuleType, tmp_path: Path, frames: dict[str, int] | None, number: int
) -> None:
    """The index of all cases does not have their number."""
    (tmp_path / "index.json").write_text(
        json.dumps({"server": {"1.1": {**RIGHT, "reportfile": "case.json"}}})
    )
    (tmp_path / "case.json").write_text(json.dumps({"rxFrameStats": frames}))

    cases = conformance.read_results(tmp_path, "server")

    assert cases["1.1"]["closeFrames"] == number
