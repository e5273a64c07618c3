# What can be done here: `just --list`.

# Start the site on http://127.0.0.1:8000
run:
    cargo run

# Everything CI runs
ci:
    ./check

# The tests; the browser's need chromium, chromedriver and `npm ci` in tests/browser
test:
    cargo test

# Pictures of every page, in target/pictures
pictures:
    cargo test --test browser pictures -- --ignored
