"""Jobs that must not run together (critical_section), and jobs that are there once (unique). State in Redis, by Lua."""
