//! Random events over HTTP, and every question of the API about them, against an oracle that is
//! written from the definitions alone: lists, maps and the civil calendar of jiff, nothing of ours.
//! Between the rounds the server is killed, or a tenant moves to another zone. `QUESTIONS_SEED`
//! repeats a run as far as the present time lets it, and `QUESTIONS_ROUNDS` makes a longer one.
//!
//! | file | questions |
//! |---|---|
//! | `wall` | none: what clocks show |
//! | `truth` | none: the events that count, and random ones |
//! | `ranges` | none: random ranges, and what they mean |
//! | `asking` | none: asks, and compares |
//! | `stats` | daily, weekly and monthly users, also rolling; top types |
//! | `retention` | cohorts |
//! | `accounts` | the sample and the summary |
//! | `series` | analytics |
//! | `structured` | queries |
//! | `live` | the last seconds, with reference data |

mod wall;
mod truth;
mod ranges;
mod asking;
mod stats;
mod retention;
mod accounts;
mod series;
mod structured;
mod live;

use asking::{Question, Session};
use rand::RngExt;

/// Rounds of events and questions when the environment names no number.
const ROUNDS: usize = 6;
/// Requests with events in each round.
const BATCHES: usize = 12;
/// Questions of each kind in each round.
const QUESTIONS: usize = 40;

/// Asks questions of one kind.
fn run(make: fn(&mut Session) -> Question, share: usize) {
    let mut session = Session::new();
    let rounds = std::env::var("QUESTIONS_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        for _ in 0..BATCHES {
            session.post_batch();
        }
        if round > 0 {
            match session.random.random_range(0..3) {
                0 => session.crash(),
                1 => session.move_to_another_zone(),
                _ => {}
            }
        }
        for _ in 0..QUESTIONS * share {
            let question = make(&mut session);
            session.ask(&question);
        }
    }
    session.end();
}

#[test]
fn i3_active_users_and_top_types_are_the_oracles() {
    run(stats::question, 4);
}

#[test]
fn i3_retention_is_the_oracles() {
    run(retention::question, 3);
}

#[test]
fn i3_accounts_are_the_oracles() {
    run(accounts::question, 4);
}

#[test]
fn i3_series_are_the_oracles() {
    run(series::question, 4);
}

#[test]
fn i3_queries_are_the_oracles() {
    run(structured::question, 3);
}

#[test]
fn i3_the_live_view_is_the_oracles() {
    live::run();
}
