"""The official client's shape, for scripts: queries, references and batches that read at one time and record."""
