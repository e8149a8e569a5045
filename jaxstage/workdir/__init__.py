"""What lies in a work directory, one file a kind of thing; every file name of it stands here."""
