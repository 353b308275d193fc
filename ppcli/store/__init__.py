"""Writes rows and patch sets to files, resumes, reads and verifies them."""
