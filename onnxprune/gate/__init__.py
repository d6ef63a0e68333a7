"""The gate: does a pruned model keep to its limits, measured beside the original?"""
