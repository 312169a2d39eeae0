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
//! | `twins` | none: whether two servers answer the same |

mod wall;
pub(crate) mod truth;
mod ranges;
pub(crate) mod asking;
mod stats;
mod retention;
mod accounts;
mod series;
mod structured;
mod live;
mod twins;

use asking::{Question, Session};
use rand::RngExt;

/// Rounds of events and questions when the environment names no number.
const ROUNDS: usize = 6;
/// Requests with events in each round.
const BATCHES: usize = 12;
/// Questions of each kind in each round.
const QUESTIONS: usize = 40;

/// Makes a question of one kind.
type Make = fn(&mut Session) -> Question;

/// Asks questions of one kind.
fn run(make: Make, share: usize) {
    let mut session = Session::new();
    for round in 0..rounds() {
        events_of_round(&mut session, round);
        questions_of_round(&mut session, make, share);
    }
    session.end();
}

/// Sends events and questions, of every kind, to each of two servers that keep their events in different places. `further` is
/// asked at the end of each round.
#[cfg(feature = "cluster")]
pub(crate) fn run_with_twin(settings: &[(&str, &str)], mut further: impl FnMut(&mut Session)) {
    let kinds: [(Make, usize); 5] = [
        (stats::question, 2),
        (retention::question, 1),
        (accounts::question, 1),
        (series::question, 2),
        (structured::question, 2),
    ];
    let mut session = Session::with_twin(settings);
    for round in 0..rounds() {
        events_of_round(&mut session, round);
        for (make, share) in kinds {
            questions_of_round(&mut session, make, share);
        }
        further(&mut session);
    }
    session.end();
}

fn rounds() -> usize {
    std::env::var("QUESTIONS_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

fn events_of_round(session: &mut Session, round: usize) {
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
}

fn questions_of_round(session: &mut Session, make: Make, share: usize) {
    for _ in 0..QUESTIONS * share {
        let question = make(session);
        session.ask(&question);
    }
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
