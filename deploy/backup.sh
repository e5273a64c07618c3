#!/bin/sh
# A copy of the database while the site runs; the last fourteen stay. For
# /etc/cron.daily, as root. backup.sh [DATABASE [DIRECTORY]]
#
# It deletes nothing but files with names of its own: login-2026-01-01T000000.db.
# So each site needs a directory for itself.
set -eu
umask 077
database=${1:-/var/lib/rocket-login/login.db}
directory=${2:-/var/backups/rocket-login}

# From here on no name but the database's is anything but the script's own, and that
# one begins with a slash: it is neither an option nor a URI.
case $database in /*) ;; *) database=$PWD/$database ;; esac
case $directory in /*) ;; *) directory=$PWD/$directory ;; esac
mkdir -p "$directory"
cd "$directory"

copy=login-$(date +%Y-%m-%dT%H%M%S).db
# A copy that was not finished must not pass for one.
trap 'rm -f "$copy.part"' EXIT
trap 'exit 1' HUP INT TERM
sqlite3 -readonly "$database" "VACUUM INTO '$copy.part'"
[ "$(sqlite3 -readonly "$copy.part" 'PRAGMA integrity_check')" = ok ]
mv "$copy.part" "$copy"

# The oldest first, as the shell sorts them.
day='[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]' time='[0-9][0-9][0-9][0-9][0-9][0-9]'
set --
for file in login-${day}T${time}.db; do
  if [ -f "$file" ] && [ ! -L "$file" ]; then set -- "$@" "$file"; fi
done
while [ $# -gt 14 ]; do
  rm -f "$1"
  shift
done
