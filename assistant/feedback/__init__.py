"""What people say of answers and reports: kept on this machine, if they wish it, to be learned from."""
