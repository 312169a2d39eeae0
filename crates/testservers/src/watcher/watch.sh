# Ends a server and removes its folder when nobody needs it any more. Started by crate testservers as
#   sh FOLDER/watch.sh FOLDER SIGNAL                       until standard input closes
#   sh FOLDER/watch.sh FOLDER SIGNAL RUNNER START LOCK     until that process has ended
# where the file `pid` in FOLDER is /proc/<pid>/stat of the server, as it was when it started.
set -fu
trap '' HUP INT TERM
folder=$1 signal=$2 runner=${3-} runner_start=${4-} lock=${5-}

# Takes the line of a stat file apart: pid, state, parent and start, the latter empty for a process that has ended.
take() {
    pid=${1%% *}
    set -- ${1##*) }
    state=$1 parent=$2 threads=${18} start=${20}
    # The first thread may be dead while others still hold sockets and files.
    case $state in Z | X) if [ "$threads" -le 1 ]; then start=; fi ;; esac
}

look() {
    start=
    if { read -r stat <"/proc/$1/stat"; } 2>/dev/null; then take "$stat"; fi
}

is_running() {
    look "$server"
    [ "$start" ] && [ "$start" = "$server_start" ]
}

# At most ten seconds.
wait_for_end() {
    looks=0
    while is_running && [ "$looks" -lt 200 ]; do
        sleep 0.05
        looks=$((looks + 1))
    done
}

kill_family() {
    # A process that stands still starts no others.
    kill -s STOP "$server"
    family=" $server " grown=yes
    while [ "$grown" ]; do
        grown=
        for entry in $(set +f && echo /proc/[0-9]*); do
            look "${entry#/proc/}"
            [ "$start" ] || continue
            case $family in
                *" $pid "*) ;;
                *" $parent "*) family="$family$pid " grown=yes ;;
            esac
        done
    done
    kill -s KILL $family
}

if [ "$runner" ]; then
    while look "$runner" && [ "$start" = "$runner_start" ]; do sleep 0.5; done
else
    while read -r _; do :; done
fi

if { read -r stat <"$folder/pid"; } 2>/dev/null; then
    take "$stat"
    server=$pid server_start=$start
    if is_running; then
        if [ "$signal" != KILL ]; then
            kill -s "$signal" "$server"
            kill -s CONT "$server"
            wait_for_end
        fi
        if is_running; then kill_family; fi
        wait_for_end
    fi
    # A PostgreSQL that was killed leaves this file, which names the System V memory it had.
    if [ -r "$folder/data/postmaster.pid" ]; then
        set -- $(sed -n 7p "$folder/data/postmaster.pid")
        if [ $# -eq 2 ]; then ipcrm -m "$2"; fi
    fi
fi
cd /
# What was killed a moment ago may still have made a file.
for attempt in 1 2 3 4 5; do
    rm -rf "$folder" && break
    sleep 0.5
done
if [ "$lock" ]; then
    rm -f "$lock"
    rmdir "${lock%/*}"
fi
