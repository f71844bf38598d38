#!/bin/sh
# Runs a command of exness-streams. In a cluster that was started with the simulator (compose.yaml), prices and mails go
# to what is there for that, unless the environment names others.
set -eu
marks=${EXNESS_PRICES_DIR:-/var/lib/exness-prices}
if [ -n "${EXNESS_PRICES_MARK:-}" ]; then
    : > "$marks/$EXNESS_PRICES_MARK"
elif [ -e "$marks/simulated" ]; then
    export BACKPACK_WS_URL="${BACKPACK_WS_URL:-ws://simulator:4100}"
    export BACKPACK_REST_URL="${BACKPACK_REST_URL-http://simulator:4100}"
    if [ -z "${SMTP_HOST:-}" ]; then
        export SMTP_HOST=mail SMTP_PORT=1025 SMTP_SECURE=false
        export EXNESS_MAIL_FROM="${EXNESS_MAIL_FROM:-trading@example.com}"
    fi
fi
unset EXNESS_PRICES_DIR EXNESS_PRICES_MARK # of this script; the platform refuses settings that it does not know
exec exness-streams "$@"
