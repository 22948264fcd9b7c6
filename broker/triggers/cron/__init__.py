"""The cron trigger: times of a schedule become events."""
