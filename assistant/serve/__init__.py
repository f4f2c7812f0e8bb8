"""The API: OpenAI-style routes, the queue, keys, the audit log and the gateway, beside the page in one process."""
