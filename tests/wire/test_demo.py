"""The sandbox as a person starts it: `vaultd demo` to its end, `vaultd dev` until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

COMMAND = [sys.executable, "-m", "vaultd.cli"]


def test_the_demo_tells_the_whole_story() -> None:
    done = subprocess.run([*COMMAND, "demo"], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert (
        len(re.findall(r"token\.exchanged  allowed  alice → briefing-agent → (github|google|slack)", done.stdout)) == 3
    )
    for words in ("Water the seedlings", "Morning round", "The north gate", "none missing, none altered"):
        assert words in done.stdout
    assert "interaction_required (reconnect_required): GitHub access was revoked. Reconnect required." in done.stdout
    assert "Every step was as it should be." in done.stdout


def test_dev_prints_a_curl_that_works_and_stops() -> None:
    process = subprocess.Popen([*COMMAND, "dev", "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = ""
        while "/briefing" not in said and (line := process.stdout.readline()):
            said += line
        request = said[said.index("curl -s") : said.index("audience=github") + len("audience=github")]
        answer = subprocess.run(["/bin/sh", "-c", request], capture_output=True, text=True, timeout=20, check=True)
        assert '"access_token":"github_at_' in answer.stdout
    finally:
        os.kill(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Stopped." in rest
