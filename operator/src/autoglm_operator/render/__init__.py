"""Objects as dictionaries: one file for each kind of child; nothing here looks at live objects."""
