"""What was found, to be looked at: pages that need nothing else, neither the network nor the cohort beside them."""
