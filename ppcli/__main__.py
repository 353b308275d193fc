"""`python -m ppcli` is the command `pixelprune`."""

from ppcli.cli.main import main

main()
