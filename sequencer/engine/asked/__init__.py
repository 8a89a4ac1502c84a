"""What the venue does with orders beyond the law: they follow their positions, each other, and their owner's clock."""
