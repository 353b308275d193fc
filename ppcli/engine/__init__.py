"""Runs tasks for many inputs and keeps their rows in order; knows no job, model or picture."""
