"""What each command does; `app.py` holds their options and joins them with retrieval."""
