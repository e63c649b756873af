"""The keyring file: only its owner's, never written over, and clear words when it is not usable."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from vaultd.errors import CannotOpen, KeyringError
from vaultd.keys.local import generate_keyring_file, open_keyring_file
from vaultd.terms import system_clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "below" / "keyring.json"
    generate_keyring_file(path, now=system_clock())
    return path


def test_only_the_owner_reads_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        generate_keyring_file(tmp_path / "keyring.json", now=system_clock())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keyring.json").stat().st_mode) == 0o600


async def test_what_it_wraps_it_unwraps(path: Path) -> None:
    wrapped = await open_keyring_file(path).wrap(b"k" * 32, bound=b"here")
    again = open_keyring_file(path)
    assert await again.unwrap(wrapped, bound=b"here") == b"k" * 32
    with pytest.raises(CannotOpen):
        await again.unwrap(wrapped, bound=b"there")


def test_the_name_is_the_generated_id(tmp_path: Path) -> None:
    key_id = generate_keyring_file(tmp_path / "keyring.json", now=system_clock())
    assert open_keyring_file(tmp_path / "keyring.json").name == f"local:{key_id}"


def test_it_is_never_written_over(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(KeyringError, match="never written over"):
        generate_keyring_file(path, now=system_clock())
    assert path.read_bytes() == before


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "keyring.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyringError):
        generate_keyring_file(tmp_path / "keyring.json", now=system_clock())
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyringError, match=r"cannot be written|already"):
        generate_keyring_file(tmp_path / "file" / "keyring.json", now=system_clock())


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="vaultd keys generate"):
        open_keyring_file(tmp_path / "keyring.json")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="cannot be read"):
        open_keyring_file(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o601, 0o777])
def test_others_may_not_touch_it(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeyringError, match=f"mode {mode:04o}.*chmod 600"):
        open_keyring_file(path)


def test_read_only_is_fine(path: Path) -> None:
    path.chmod(0o400)
    open_keyring_file(path)


def test_somebody_elses_file(path: Path) -> None:
    if os.geteuid() != 0:
        # Nobody else can make one, so that there is nothing to refuse.
        with pytest.raises(PermissionError):
            os.chown(path, 65534, -1)
        return
    os.chown(path, 65534, -1)
    with pytest.raises(KeyringError, match="belongs to user 65534"):
        open_keyring_file(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": 2}, "version 2"),
        ({"root_key": "AAAA"}, "not 32 bytes"),
        ({"root_key": "not base64!"}, "not a vaultd keyring"),
        ({"root_key": 7}, "not a vaultd keyring"),
        ({"root_key": None}, "not a vaultd keyring"),
        ({"id": "seven"}, "not a vaultd keyring"),
        ({"id": 7}, "not a vaultd keyring"),
    ],
)
def test_altered_files(path: Path, change: dict[str, Any], complaint: str) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(KeyringError, match=complaint):
        open_keyring_file(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"7", b"\xff\xfe", b'{"version": 1}'])
def test_other_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(KeyringError, match="not a vaultd keyring"):
        open_keyring_file(path)


def test_complaints_hold_no_key(path: Path) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"id": "seven"}))
    with pytest.raises(KeyringError) as caught:
        open_keyring_file(path)
    assert document["root_key"] not in str(caught.value)
    assert caught.value.__cause__ is None
