"""From options to a plan and the model it makes: what leaves, and whether that can be written."""
