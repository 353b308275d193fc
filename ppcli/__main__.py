"""`python -m ppcli` is the command `pixelprune`."""


def main() -> None:
    """Entry point of the command. A worker imports this module again, and needs nothing of it."""
    import signal

    waits = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not below nohup
    if waits:  # an interrupt while modules are loaded ends the program, without a trace of them
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ppcli.cli.main import main as command

    if waits:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


if __name__ == "__main__":
    main()
