"""A server of S3, which is moto's, in a process of its own, and the variables that lead to it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_SERVER = """
import logging, sys, threading
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
_VARIABLES = ("AWS_", "FSSPEC_")


@dataclass(slots=True)
class ObjectStore:
    """A running server of S3.

    Attributes:
        endpoint: its URL.
    """

    endpoint: str
    _client: Any = field(default=None, repr=False)
    _made: set[str] = field(default_factory=set, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which programs find it, and nothing of the machine's own."""
        return environment_of(self.endpoint)

    @property
    def client(self) -> Any:
        """A client that does not depend on the environment."""
        if self._client is None:
            import boto3

            self._client = boto3.client(
                "s3",
                endpoint_url=self.endpoint,
                region_name="us-east-1",
                aws_access_key_id="key",
                aws_secret_access_key="secret",
            )
        return self._client

    def bucket(self, name: str, files: dict[str, bytes] | None = None) -> str:
        """Make a bucket with some objects, by key; return its URL. Tests share the server."""
        assert name not in self._made, f"another test has a bucket {name}"
        self._made.add(name)
        self.client.create_bucket(Bucket=name)
        for key, content in (files or {}).items():
            self.client.put_object(Bucket=name, Key=key, Body=content)
        return f"s3://{name}"

    def upload(self, folder: Path, bucket: str) -> str:
        """Make a bucket with the files below a folder; return its URL."""
        self.bucket(bucket)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = os.fsencode(path.relative_to(folder)).decode("utf-8", "replace")
                self.client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
        return f"s3://{bucket}"

    def files(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """Return all objects of a bucket, by key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        get = self.client.get_object
        return {key: get(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def environment_of(endpoint: str) -> dict[str, str]:
    """Return the variables with which programs find a server of S3."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@contextmanager
def s3_server() -> Iterator[ObjectStore]:
    """Run a server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield ObjectStore(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def variables(environment: dict[str, str]) -> Iterator[None]:
    """Set variables for stores in this process; no other ones of stores are set inside."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(_VARIABLES)]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        forget_filesystems()
        yield
    forget_filesystems()


def forget_filesystems() -> None:
    """Make the next file system of S3 look at the environment again."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
