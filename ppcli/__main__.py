"""`python -m ppcli` is the command `pixelprune`."""

from ppcli.cli.main import main

if __name__ == "__main__":  # a spawned worker imports this module again
    main()
