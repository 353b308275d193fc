"""The jobs behind the commands. Any program can call them; they do not use the terminal."""
