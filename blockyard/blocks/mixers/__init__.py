"""What mixes positions in a MetaFormer: blocks without a residual or a norm of their own."""
