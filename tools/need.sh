#!/bin/bash
# Makes sure that commands are there: need.sh COMMAND[:PACKAGE,PACKAGE]...
# Missing ones are installed with apt-get, as root or through sudo without a password. When that cannot be done, it says what to install and
# fails.
set -euo pipefail

missing=() packages=()
for need in "$@"; do
    command=${need%%:*}
    if ! command -v "$command" >/dev/null; then
        missing+=("$command")
        IFS=, read -ra names <<<"${need#*:}"
        packages+=("${names[@]}")
    fi
done
if [ ${#missing[@]} = 0 ]; then
    exit 0
fi

fail() {
    echo "tests need ${missing[*]}: $1; install ${packages[*]} and try again" >&2
    exit 1
}

sudo=()
command -v apt-get >/dev/null || fail "there is no apt-get"
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || fail "this user is neither root nor may use sudo without a password"
    sudo=(sudo -n)
fi
install() { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"; }
echo "installing ${packages[*]}" >&2
install >/dev/null 2>&1 || { "${sudo[@]}" apt-get update >/dev/null && install >/dev/null; } || fail "apt-get could not install it"
