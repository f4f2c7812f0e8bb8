"""Evidence: corpora, index and search."""

import logging

# When it is imported, FAISS tells of every build of itself that it tries; that is no news to who builds an index.
logging.getLogger("faiss").setLevel(logging.WARNING)
