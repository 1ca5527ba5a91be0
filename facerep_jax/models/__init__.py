"""Networks: linen modules only."""
