"""A server of SFTP over one folder, with the names of `~/.ssh/known_hosts` in a home of its own."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko


class _Login(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if password == "secret" else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def get_allowed_auths(self, username: str) -> str:
        return "password"


class _Files(paramiko.SFTPServerInterface):
    root: Path

    def _path(self, path: str) -> str:
        return str(self.root / path.lstrip("/"))

    def list_folder(self, path: str) -> Any:
        try:
            names = os.listdir(self._path(path))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        found = []
        for name in names:
            attributes = self.stat(f"{path}/{name}")
            attributes.filename = name
            found.append(attributes)
        return found

    def stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(os.stat(self._path(path)))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    lstat = stat

    def open(self, path: str, flags: int, attr: object) -> Any:
        try:
            file = open(self._path(path), "rb")  # noqa: SIM115
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        handle = paramiko.SFTPHandle(flags)
        handle.readfile = file
        return handle


def _serve(listening: socket.socket, key: paramiko.PKey, root: Path) -> None:
    files = type("Files", (_Files,), {"root": root})
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            transport = paramiko.Transport(connection)
            transport.daemon = True
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, files)
            with suppress(paramiko.SSHException, EOFError):
                transport.start_server(server=_Login())


@contextmanager
def sftp_server(root: Path, home: Path) -> Iterator[str]:
    """Serve a folder; yield the URL of it, with a user. `home` gets the key of the server."""
    key = paramiko.ECDSAKey.generate()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        (home / ".ssh").mkdir(parents=True)
        line = f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n"
        (home / ".ssh" / "known_hosts").write_text(line)
        thread = threading.Thread(target=_serve, args=(listening, key, root), daemon=True)
        thread.start()
        yield f"sftp://me:secret@127.0.0.1:{port}/"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
