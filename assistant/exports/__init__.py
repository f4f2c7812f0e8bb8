"""Ways a drafted report leaves the assistant."""
