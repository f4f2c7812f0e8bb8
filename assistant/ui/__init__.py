"""The page in the browser: asking about images and drafting reports, for one person on one machine."""
