"""Text of the record: what was known before an image was made, and reports told again sentence by sentence."""
