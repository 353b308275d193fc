"""Files on other machines: their schemes, how they are opened, and their faults in words."""
