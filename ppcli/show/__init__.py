"""Pictures of pruned images, and the HTML report."""
