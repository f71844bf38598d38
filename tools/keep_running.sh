#!/bin/sh
# keep_running.sh COMMAND...: starts a worker again, a second after it has failed. Not after a clean stop (0), nor when
# its settings are wrong (2): that needs somebody who corrects them, and repeating it would bury what it said.
while :; do
    "$@"
    code=$?
    case $code in 0 | 2) exit $code ;; esac
    sleep 1
done
