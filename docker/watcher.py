#!/bin/sh
# The name that runbooks know; the watcher is no Python.
exec /app/watcher "$@"
