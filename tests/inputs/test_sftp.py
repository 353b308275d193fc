"""Inputs on a server with SFTP."""

from pathlib import Path

import pytest

from ppcli.errors import ExitCode
from tests.command import pixelprune
from tests.inputs.test_faulty_stores import rows
from tests.sftp_server import sftp_server


def test_sftp_gives_the_rows_of_the_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    local = pixelprune("analyze", folder, "-o", "-")
    with sftp_server(folder, tmp_path / "home") as url:
        remote = pixelprune("analyze", url, "-o", "-", "--workers", "2")
        missing = pixelprune("analyze", f"{url}nothing.png", "-o", "-")
        denied = pixelprune("analyze", url.replace("me:secret", "me:wrong"), "-o", "-")
        (tmp_path / "home" / ".ssh" / "known_hosts").write_text("")
        unknown = pixelprune("analyze", url.replace("me:", "you:"), "-o", "-")
    assert rows(remote.stdout) == rows(local.stdout)
    assert b"secret" not in remote.stdout + remote.stderr + missing.stderr
    assert missing.returncode == ExitCode.USAGE
    assert denied.returncode == ExitCode.USAGE
    assert b"no valid credentials" in denied.stderr
    assert b"is not in ~/.ssh/known_hosts" in unknown.stderr
