"""Speed, as ratios: everything in a table is measured side by side in one run."""
