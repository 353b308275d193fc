"""The jobs of the commands, which any program can call; they know no terminal."""
