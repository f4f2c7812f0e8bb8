"""Evidence: corpora, index and search."""
