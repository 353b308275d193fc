"""What people look at: pictures of what was pruned."""
