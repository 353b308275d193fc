"""Requests in, tokens out: slots, batches and sampling."""
