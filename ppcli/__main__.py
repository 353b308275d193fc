"""`python -m ppcli` is the command `pixelprune`."""


def main() -> None:
    """Entry point of the command. A worker imports this module again, and needs nothing of it."""
    from ppcli.cli.main import main as command

    command()


if __name__ == "__main__":
    main()
