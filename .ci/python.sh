# Sourced: find_python prints a Python of version 3.11 or newer, or says what to do and ends the script.

# Each candidate is run, not only looked up: a version manager's shim can be on PATH without a version behind it.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: SETUP no Python 3.11 or newer found (tried: ${PYTHON:-python3, python3.11 to python3.14, python});" \
        "install one, or name it: make PYTHON=/path/to/python3.12" >&2
    return 1
}
