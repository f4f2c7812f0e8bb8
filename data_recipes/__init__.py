"""Turn data sets into one example format that every training stage reads."""
