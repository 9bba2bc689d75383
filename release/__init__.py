"""What has to be true of a release, and how it is made: CONTRIBUTING.md, Releases."""
