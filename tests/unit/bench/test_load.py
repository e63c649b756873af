from __future__ import annotations

from pathlib import Path

from bench.load import Sample, http_request, write_requests
from bench.profile import top


def test_a_request_is_whole() -> None:
    request = http_request("POST", "/token", "127.0.0.1:80", [("Content-Type", "text/plain")], "a=b")

    assert request == (
        b"POST /token HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\na=b"
    )


def test_each_request_is_written_behind_its_length(tmp_path: Path) -> None:
    assert write_requests(tmp_path / "requests", [b"one\r\n", b"second"]) == 2

    assert (tmp_path / "requests").read_bytes() == b"5\none\r\n6\nsecond"


def test_the_last_line_of_wrk_is_ours() -> None:
    printed = 'Running 1s test\n{"requests": 5, "seconds": 1.0, "p50_ms": 2.0, "p99_ms": 3.0, "failed": 1}\n'

    assert Sample.parse(printed) == Sample(requests=5, seconds=1.0, p50_ms=2.0, p99_ms=3.0, failed=1)


def test_a_profile_counts_a_recursive_function_once_a_sample() -> None:
    stacks = "process 1:x;run (vaultd/a.py:1);run (vaultd/a.py:1);loads (json/__init__.py:3) 3\nrun (vaultd/a.py:1) 1\n"

    functions, packages, total = top(stacks).split("\n\n")

    assert "75.0%  loads (json/__init__.py:3)" in functions
    assert "75.0%  json" in packages
    assert "25.0%  vaultd" in packages
    assert "100.0%  run (vaultd/a.py:1)" in total
