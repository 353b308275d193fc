"""Where datasets are: folders on this machine, and objects in a store."""
