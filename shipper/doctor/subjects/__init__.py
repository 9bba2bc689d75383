"""One module for each subject: what has to be known of it, and the findings that follow. Pure."""
