//! Starts one server and prints how it is reached, until standard input closes:
//! `cargo run -p testservers -- postgres`. With `shared` before the name it is the one of the test run.

use std::io::{Read, Write};
use std::process::ExitCode;

use testservers::{Error, Nats, Postgres, Rabbit, Redis};

/// A server that runs while this is kept, and how it is reached.
type Started = (Box<dyn std::any::Any>, String);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let started = match start(&words) {
        None => return fail("say `postgres`, `nats`, `rabbit`, `redis`, `shared postgres` or `shared rabbit`"),
        Some(Err(error)) => return fail(&error.to_string()),
        Some(Ok(None)) => return ExitCode::SUCCESS,
        Some(Ok(Some(started))) => started,
    };
    let (_server, url) = started;
    let mut output = std::io::stdout();
    // Nobody may be there to read it.
    let _ = writeln!(output, "{url}").and_then(|()| output.flush());
    let mut byte = [0];
    while matches!(std::io::stdin().read(&mut byte), Ok(1)) {}
    ExitCode::SUCCESS
}

/// None when the words name no server.
fn start(words: &[&str]) -> Option<Result<Option<Started>, Error>> {
    fn kept<T: 'static>(server: T, url: String) -> Started {
        (Box::new(server), url)
    }
    Some(match words {
        ["postgres"] => postgres(),
        ["nats"] => Nats::launch("").map(|it| {
            it.map(|nats| {
                let url = nats.url();
                kept(nats, url)
            })
        }),
        ["rabbit"] => rabbit(),
        ["redis"] => Redis::launch(&[]).map(|it| {
            it.map(|redis| {
                let url = redis.url();
                kept(redis, url)
            })
        }),
        ["shared", "postgres"] => testservers::database().map(|it| {
            it.map(|it| {
                let url = it.url().to_owned();
                kept(it, url)
            })
        }),
        ["shared", "rabbit"] => testservers::vhost().map(|it| {
            it.map(|it| {
                let url = it.url().to_owned();
                kept(it, url)
            })
        }),
        _ => return None,
    })
}

fn postgres() -> Result<Option<Started>, Error> {
    let Some(postgres) = Postgres::launch(&[])? else { return Ok(None) };
    let url = postgres.database()?.url().to_owned();
    Ok(Some((Box::new(postgres), url)))
}

fn rabbit() -> Result<Option<Started>, Error> {
    let Some(rabbit) = Rabbit::launch("")? else { return Ok(None) };
    let url = rabbit.vhost()?.url().to_owned();
    Ok(Some((Box::new(rabbit), url)))
}

#[expect(clippy::print_stderr, reason = "a program's way to say why it ends")]
fn fail(why: &str) -> ExitCode {
    eprintln!("testserver: {why}");
    ExitCode::FAILURE
}
