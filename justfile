# `just --list` shows the recipes.

# Start the site on http://localhost:8000
run:
    cargo run

# Run everything that CI runs
ci:
    ./check

# Run the tests (those with a browser or a mail server need the tools of `./check --install`)
test:
    cargo test

# Take pictures of every page, in target/pictures
pictures:
    cargo test --test browser pictures -- --ignored

# Measure throughput, with ratios that hold on any machine: some 15 minutes, or set BENCH_SECONDS=1 or BENCH_ROWS=1000,10000000
bench part="":
    cargo build --release --locked --bin rocket-login --example views
    cargo bench --locked --bench load -- {{part}}

# Try to break it: short (three minutes), long (hours; TORTURE_OPERATIONS: 1,000,000) or ha (the database's machines die)
torture length="short":
    tests/torture/run {{length}}
