"""The result in the forms that people and programs read. Pure."""
