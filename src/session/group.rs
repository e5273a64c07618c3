//! Group commit for sessions: writes that come at the same time share a transaction, and so they
//! share the wait for the disk.
//!
//! `queue` is who waits, and `round` is one transaction. A write joins the queue. One task leads:
//! it takes the whole queue, and a round locks the rows. Each write then makes its change on the
//! result of those before it. The round stores the changes, commits, and tells the writers. New
//! writes queue up in the meantime. A write that is alone waits for nobody.
//!
//! On PostgreSQL a round mostly waits for the server. So the next round begins as soon as the
//! present one has made its changes. It takes the writes that wait by then and whose sessions are
//! not in the present round.
//!
//! A round passes over a row that another instance has locked, because others would wait with it.
//! Its writer tries once more, in a round of its own, which waits for the lock. So does the writer
//! of a session that has ended, and this round finds out.
//!
//! Three kinds of tasks wait for each other:
//!
//! ```text
//! a writer                   the leader                 a round
//! --------                   ----------                 -------
//! joins the queue ---------> takes the queue ---------> begins, locks the rows
//! waits for its seat <--------------------------------- hands out the seats
//! (no seat: tries alone)
//! makes its change                                      waits until all seats are left
//! leaves its seat ------------------------------------>
//! waits for the outcome      PostgreSQL: goes on <----- has all changes
//!                                                       stores, commits, updates the cache
//! returns <-------------------------------------------- tells the outcome
//!                            SQLite: goes on <--------- is over
//! ```

mod queue;
mod round;

pub use queue::Group;
pub use round::{Means, Slot};
