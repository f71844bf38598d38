"""Exness Streams: a leveraged-trading platform as a stream-processing application."""

__version__ = "0.1.0"
