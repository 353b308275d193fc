"""Answers from servers that speak the OpenAI chat API."""
