"""Speed and memory beside the peers: one script a topic, one table as output."""
