"""The name on the package index: `vaultd` there is somebody else's program, and nothing of ours may install it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from tests.support.guides import ROOT

STRANGER = "vaultd"
SERVER, CLIENT, NODE_CLIENT = "vaultd-server", "vaultd-client", "@vaultd/client"
_MADE = {".git", ".venv", "node_modules", "build", "dist", "out", "data", "__pycache__"}
"""Folders of what a tool made here; those that begin with a dot and end in `_cache` too."""
_INSTALLER = re.compile(
    r"\b(?:pip[\d.]*(?:\s+-[\w-]+(?:=\S+)?)*\s+(?:install|download|wheel)|pipx\s+(?:install|run|upgrade)|uvx"
    r"|uv\s+(?:pip\s+install|add|tool\s+(?:install|run|upgrade))|(?:poetry|pdm|rye|hatch|yarn|pnpm|bun)\s+(?:add|dlx)"
    r"|(?:npm|pnpm|bun)\s+(?:i|install|add|exec)|npx|(?:conda|mamba)\s+install|easy_install)\b(?P<rest>[^`;|&\n]*)"
)
_LOOK_UP = re.compile(r"(?:version|distribution|metadata|requires|files)\(\s*['\"](?P<name>[\w.-]+)['\"]\s*\)")


def _is_strangers(word: str) -> bool:
    """Whether an installer would take this argument for the other program: `Vaultd`, `vaultd==1`, `vaultd[x]`."""
    plain = word.strip("'\",()[]{}")
    for form in (plain, word.strip("'\",()"), re.sub(r"(?<=\w)@[\w.^~-]+$", "", plain)):
        try:
            if canonicalize_name(Requirement(form).name) == STRANGER:
                return True
        except InvalidRequirement:
            continue
    return False


def installs_the_stranger(text: str) -> list[str]:
    """The commands in a text that would."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return [
        found[0].strip()
        for found in _INSTALLER.finditer(joined)
        if any(_is_strangers(word) for word in found["rest"].split())
    ]


def _texts() -> Iterator[tuple[Path, str]]:
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if _MADE & set(parts) or any(part.startswith(".") and part.endswith("_cache") for part in parts):
            continue
        # This file has the commands that must be found.
        if path.is_file() and path != Path(__file__):
            try:
                yield path, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # a picture or an archive is no text


TEXTS = tuple(_texts())


@pytest.mark.parametrize(
    "command",
    [
        "pip install vaultd",
        "pip3 install --upgrade vaultd",
        "python -m pip install -U 'vaultd[sandbox]>=1'",
        'Install it with `pip install "vaultd[sandbox]"`.',
        "/opt/x/bin/pip --quiet install Vaultd==2.5.1",
        "pip install \\\n    vaultd",
        "pip download vaultd",
        "pipx install vaultd",
        "uvx vaultd dev",
        "uv pip install vaultd",
        "uv tool install vaultd",
        "uv add vaultd",
        "poetry add vaultd",
        "npm install vaultd",
        "npx vaultd@latest",
    ],
)
def test_a_command_that_installs_the_stranger_is_found(command: str) -> None:
    assert installs_the_stranger(command)


@pytest.mark.parametrize(
    "command",
    [
        "pip install vaultd-server",
        'pip install "vaultd-server[sandbox]"',
        "pip install vaultd_client          # with [jwt]",
        "/opt/vaultd/bin/pip install --no-deps --no-index dist/*.whl",
        "/opt/vaultd/bin/pip uninstall --yes pip && install --directory vaultd",
        "pip uninstall vaultd",
        "pip install --no-deps . `vaultd` then starts",
        "npm install @vaultd/client",
    ],
)
def test_a_command_that_does_not_is_left_alone(command: str) -> None:
    assert not installs_the_stranger(command)


def test_no_text_of_the_repository_installs_the_stranger() -> None:
    assert len(TEXTS) > 500
    found = {str(path.relative_to(ROOT)): commands for path, text in TEXTS if (commands := installs_the_stranger(text))}
    assert found == {}


def _projects() -> dict[str, dict[str, Any]]:
    return {
        str(path.relative_to(ROOT)): tomllib.loads(text)["project"]
        for path, text in TEXTS
        if path.name == "pyproject.toml"
    }


def test_the_packages_have_names_of_their_own_and_the_command_keeps_its() -> None:
    projects = _projects()
    assert {path: project["name"] for path, project in projects.items()} == {
        "pyproject.toml": SERVER,
        "clients/python/pyproject.toml": CLIENT,
    }
    assert projects["pyproject.toml"]["scripts"] == {"vaultd": "vaultd.cli:main"}
    packages = {str(path.relative_to(ROOT)): json.loads(text) for path, text in TEXTS if path.name == "package.json"}
    assert packages["clients/typescript/package.json"]["name"] == NODE_CLIENT


def test_nothing_depends_on_the_stranger() -> None:
    needed: dict[str, list[str]] = {}
    for path, project in _projects().items():
        extras = project.get("optional-dependencies", {}).values()
        needed[path] = [each for several in (project.get("dependencies", []), *extras) for each in several]
    for file, text in TEXTS:
        where = str(file.relative_to(ROOT))
        if file.suffix == ".lock" or file.name.startswith("requirements"):
            needed[where] = [line.split(" ")[0] for line in text.splitlines() if line[:1].isalnum()]
        if file.name == "package.json":
            document = json.loads(text)
            kinds = [name for name in document if name.lower().endswith("dependencies")]
            needed[where] = [name for kind in kinds for name in document[kind]]
    assert len(needed) > 8
    assert {where: each for where, several in needed.items() for each in several if _is_strangers(each)} == {}


def test_nothing_is_looked_up_under_the_strangers_name() -> None:
    """Where both are installed, the answer would be about the other."""
    asked = {
        str(path.relative_to(ROOT)): [found["name"] for found in _LOOK_UP.finditer(text)]
        for path, text in TEXTS
        if path.suffix == ".py" and re.search(r"importlib[._]metadata|pkg_resources", text)
    }
    assert {
        where for where, names in asked.items() if any(canonicalize_name(name) == STRANGER for name in names)
    } == set()


def test_the_wheel_has_the_distributions_name_the_import_and_the_command(tmp_path: Path) -> None:
    """Built from the sources as they are, by the backend that `pip` would call."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (built,) = tmp_path.glob("*.whl")
    assert built.name.startswith("vaultd_server-")
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
        (about,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(about).decode())
        (entries,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
        scripts = ConfigParser()
        scripts.read_string(archive.read(entries).decode())
    assert metadata["Name"] == SERVER
    assert {name.partition("/")[0] for name in names} == {"vaultd", about.partition("/")[0]}
    assert dict(scripts["console_scripts"]) == {"vaultd": "vaultd.cli:main"}
    assert not [each for each in metadata.get_all("Requires-Dist") or [] if Requirement(each).name == STRANGER]
