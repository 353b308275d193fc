"""Finds out whether videos can be read."""

from ppcli.errors import MissingDependencyError


def require_pyav() -> None:
    """Check that the package that reads videos is installed.

    Raises:
        MissingDependencyError: it is not.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f'videos need pip install "pixelprune[video]": {error}'
        ) from error
