#!/bin/sh
# Copies the database while the site runs, and keeps the last fourteen copies. For
# /etc/cron.daily, as root. Usage: backup.sh [DATABASE [DIRECTORY]]
#
# It deletes only files with its own kind of name: login-2026-01-01T000000.db.
# So each site needs its own directory.
set -eu
umask 077
database=${1:-/var/lib/rocket-login/login.db}
directory=${2:-/var/backups/rocket-login}

# From here on, all names are the script's own except the database's. That one begins
# with a slash, so nothing takes it for an option or a URI.
case $database in /*) ;; *) database=$PWD/$database ;; esac
case $directory in /*) ;; *) directory=$PWD/$directory ;; esac
mkdir -p "$directory"
cd "$directory"

copy=login-$(date +%Y-%m-%dT%H%M%S).db
# An incomplete copy must not look like a backup.
trap 'rm -f "$copy.part"' EXIT
trap 'exit 1' HUP INT TERM
sqlite3 -readonly "$database" "VACUUM INTO '$copy.part'"
[ "$(sqlite3 -readonly "$copy.part" 'PRAGMA integrity_check')" = ok ]
mv "$copy.part" "$copy"

# The shell sorts them, the oldest first.
day='[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]' time='[0-9][0-9][0-9][0-9][0-9][0-9]'
set --
for file in login-${day}T${time}.db; do
  if [ -f "$file" ] && [ ! -L "$file" ]; then set -- "$@" "$file"; fi
done
while [ $# -gt 14 ]; do
  rm -f "$1"
  shift
done
