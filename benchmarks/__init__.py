"""Benchmarks: what a migration costs a document, beside the least that it could cost."""
