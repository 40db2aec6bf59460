"""What has been registered, and everything the janitor knows and did."""
