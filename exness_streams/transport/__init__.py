"""Logs and how Faust reads and writes them. Every touch of Faust's internals is in here."""
