"""Operations as bytes and as typed data, and who signed them."""
