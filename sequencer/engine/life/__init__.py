"""The life of each order as it is kept and told, long after the order has left the books."""
