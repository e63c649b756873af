"""Issue 7: the client is a package of its own: the wheel holds what it must, and works where there is httpx alone."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3] / "clients" / "python"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sources as they are, by the backend that `pip` would call."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_is_typed_licensed_and_needs_httpx_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        about = Parser().parsestr(archive.read(metadata).decode())
    assert re.fullmatch(r"vaultd_client-\d+\.\d+\.\d+-py3-none-any\.whl", wheel.name)
    assert {name.partition("/")[0] for name in names} == {"vaultd_client", metadata.partition("/")[0]}
    assert "vaultd_client/py.typed" in names
    assert [name for name in names if name.endswith("/licenses/LICENSE")]
    needed = [Requirement(each) for each in about.get_all("Requires-Dist") or []]
    assert [each.name for each in needed if each.marker is None] == ["httpx"]
    assert {str(each.marker) for each in needed if each.marker} == {'extra == "jwt"'}
    assert about["Requires-Python"] == ">=3.11"


def test_it_works_in_an_environment_with_httpx_alone(wheel: Path, tmp_path: Path) -> None:
    """Nothing of the vault's own, nor of an extra, is there to be imported by mistake."""
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=120)
    python = home / "bin" / "python"
    (site,) = home.glob("lib/python*/site-packages")
    for each in closure("httpx"):
        lend(each, site)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", str(wheel)], check=True, timeout=120, capture_output=True)
    subprocess.run([*pip, "check"], check=True, timeout=120, capture_output=True)
    script = """
import pkgutil, sys, vaultd_client
from vaultd_client import ClientSecretBasic, VaultClient, VaultUnreachable
for module in pkgutil.iter_modules(vaultd_client.__path__):
    if module.name != "signing":
        __import__(f"vaultd_client.{module.name}")
try:
    with VaultClient("http://127.0.0.1:9", auth=ClientSecretBasic("agent", "secret")) as vault:
        vault.get_access_token("github", subject_token="session")
except VaultUnreachable as error:
    print(type(error).__name__)
try:
    import vaultd_client.signing
except ModuleNotFoundError as error:
    print(error.name)
"""
    done = subprocess.run([str(python), "-I", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["VaultUnreachable", "joserfc"]


def closure(name: str) -> list[Distribution]:
    """What a bare install of a package brings along here."""
    found: dict[str, Distribution] = {}
    wanted = [name]
    while wanted:
        each = wanted.pop()
        if each not in found:
            try:
                found[each] = distribution(each)
            except PackageNotFoundError:
                continue  # for another version of Python
            needs = map(Requirement, found[each].requires or ())
            wanted += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return list(found.values())


def lend(package: Distribution, site: Path) -> None:
    """Link a package's own files into another environment, which saves a download."""
    for top in {file.parts[0] for file in package.files or () if file.parts[0] not in {"..", "__pycache__"}}:
        source = Path(str(package.locate_file(top)))
        if not (site / top).exists():
            (site / top).symlink_to(source, target_is_directory=source.is_dir())
