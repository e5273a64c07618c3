//! Tests of the site and the crate through Rocket's local client, the public API and
//! the binary.

mod support;

mod account;
mod alike;
mod application_headers;
mod architecture;
mod assets;
mod asvs;
mod backup;
mod bad_input;
mod binary;
#[cfg(feature = "providers")]
mod certified;
mod changes;
mod commands;
mod config;
mod contrast;
mod cookbook;
mod cookie;
mod database;
mod docs;
mod docs_match_code;
mod embedding;
mod error_types;
mod errors;
mod examples;
mod factors;
mod fail2ban;
mod fake_smtp;
mod fields;
mod first_minute;
mod frame;
mod generated;
mod hashing;
mod headers;
mod hooks;
mod hosted;
#[cfg(feature = "providers")]
mod identities;
mod instances;
mod judgement;
mod kept;
mod layers;
mod left_over;
mod life;
mod login;
mod logout;
mod mail;
mod mail_clients;
mod mail_servers;
mod mail_templates;
#[path = "../mails/mod.rs"]
mod mails;
mod migrations;
mod neighbours;
mod open_types;
mod operator;
mod outage;
mod outcomes;
mod own_migrations;
#[cfg(feature = "passkeys")]
mod passkeys;
mod passwords;
mod past_holes;
mod postfix;
mod postgres;
mod programs;
mod properties;
mod protected;
#[cfg(feature = "providers")]
mod provider_instances;
#[cfg(feature = "providers")]
mod providers;
mod refusals;
mod register;
mod return_to;
mod roles;
mod routes;
mod same_origin;
mod search_engines;
mod seen;
#[path = "../servers/with_providers.rs"]
mod servers;
mod session;
mod site_name;
mod smtp;
mod stage;
mod state;
mod streams;
mod templates;
mod terminal;
mod testing;
mod throttle;
mod twice;
mod typed_email;
mod versions;
mod waiting;
mod without_password;
mod words;
