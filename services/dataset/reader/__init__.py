"""The program that reads what somebody brings; it runs in a confined process of its own."""
