"""How many inputs become rows, in order: the run, the executors, and stopping."""
