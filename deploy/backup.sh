#!/bin/sh
# A copy of the database while the site runs; the last fourteen stay. For
# /etc/cron.daily, as root. backup.sh [DATABASE [DIRECTORY]]
set -eu
umask 077
database=${1:-/var/lib/rocket-login/login.db}
directory=${2:-/var/backups/rocket-login}
copy=$directory/login-$(date +%Y-%m-%dT%H%M%S).db

mkdir -p "$directory"
# A copy that was not finished must not pass for one.
trap 'rm -f "$copy.part"' EXIT
sqlite3 -readonly "$database" "VACUUM INTO '$copy.part'"
[ "$(sqlite3 -readonly "$copy.part" 'PRAGMA integrity_check')" = ok ]
mv "$copy.part" "$copy"
ls -1r "$directory"/login-*.db | tail -n +15 | xargs -r rm --
