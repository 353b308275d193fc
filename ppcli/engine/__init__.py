"""Runs tasks for many inputs and keeps their rows in order, whatever the job."""
