# What can be done here: `just --list`.

# Start the site on http://127.0.0.1:8000
run:
    cargo run

# Everything CI runs
ci:
    ./check

# The tests; those with a browser or a mail server need what `./check --install` gets
test:
    cargo test

# Pictures of every page, in target/pictures
pictures:
    cargo test --test browser pictures -- --ignored

# What it carries, with ratios that hold on any machine: in some 15 minutes, or BENCH_SECONDS=1; also BENCH_ROWS=1000,10000000
bench part="":
    cargo build --release --locked --bin rocket-login --example views
    cargo bench --locked --bench load -- {{part}}

# What breaks it: some three minutes, or `just torture long` for hours (TORTURE_OPERATIONS: 1,000,000)
torture length="short":
    tests/torture/run {{length}}
