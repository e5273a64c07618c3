# shellcheck shell=bash
# Leads a group of processes, and ends it when its input says so, or ends.

# What the tests' own caller has left open is not for this.
for path in "/proc/$$/fd"/*; do
  fd=${path##*/}
  if ((fd > 2)); then exec {fd}>&-; fi
done
exec 2>/dev/null
trap '' HUP INT QUIT TERM

# Puts into `doomed` what is in this group, all that descends from that, and what was in it
# before and is still there. (PostgreSQL's processes leave the group.)
find_doomed() {
  local stat line id fields is_new=1
  local -A parents=() before=()
  for id in "${!doomed[@]}"; do before[$id]=1; done
  doomed=()
  for stat in /proc/[0-9]*/stat; do
    line=
    IFS= read -rd '' line <"$stat"
    # "id (name) state parent group …"
    # shellcheck disable=SC2206 # the state, and numbers
    id=${line%% *} fields=(${line##*) })
    [[ -n $id && $id != "$$" && ${fields[0]} != [ZX] ]] || continue
    parents[$id]=${fields[1]}
    [[ ${fields[2]} != "$$" && -z ${before[$id]-} ]] || doomed[id]=1
  done
  while ((is_new)); do
    is_new=0
    for id in "${!parents[@]}"; do
      [[ -z ${doomed[id]-} && -n ${doomed[parents[$id]]-} ]] || continue
      doomed[id]=1 is_new=1
    done
  done
}

# A line: kill them all. The end without one: the test's process is gone. Servers then tidy up
# behind themselves, if they can within five seconds.
signal=KILL
read -r || signal=INT
doomed=() deadline=$((SECONDS + 5))
for ((round = 0; ; round++)); do
  find_doomed
  ((${#doomed[@]})) || break
  ((SECONDS < deadline)) || signal=KILL
  [[ $signal == INT && $round -gt 0 ]] || kill -s "$signal" "${!doomed[@]}"
  sleep 0.02
done
