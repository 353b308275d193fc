"""Families of models. Each is one folder."""
