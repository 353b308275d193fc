"""Which hosts SFTP trusts: those that the user's own `ssh` knows."""

import os

import paramiko

_FILE = "~/.ssh/known_hosts"


class KnownHosts(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]  # it has no types
    """Refuses a host whose key is not in `~/.ssh/known_hosts`, as OpenSSH does by default."""

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        """Return if the key is known.

        Raises:
            SSHException: it is not, or it is another one.
        """
        known = paramiko.HostKeys()
        path = os.path.expanduser(_FILE)
        if os.path.isfile(path):
            known.load(path)
        if not known.check(hostname, key):
            raise paramiko.SSHException(
                f"the key of {hostname} is not in {_FILE}; connect once with ssh to add it"
            )
