//! What may be a password, and what becomes of it.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::sync::Arc;

use super::*;

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

#[test]
fn what_may_be_a_password() {
    for (text, error) in [
        ("", InvalidPassword::Short),
        ("1234567", InvalidPassword::Short),
        ("👩‍👩‍👧‍👦", InvalidPassword::Short),
        ("        ", InvalidPassword::Blank),
        ("\u{a0}\u{2003}\u{3000}        ", InvalidPassword::Blank),
        (&"x".repeat(1_025), InvalidPassword::Long),
        (&"x".repeat(4_096), InvalidPassword::Long),
        (&"é".repeat(513), InvalidPassword::Long),
        ("12345678\0", InvalidPassword::Control),
        ("1234\n5678", InvalidPassword::Control),
        ("1234\u{85}5678", InvalidPassword::Control),
        // Eight characters before composing, four after.
        (&"e\u{301}".repeat(4), InvalidPassword::Short),
    ] {
        assert_eq!(Password::new(text).unwrap_err(), error, "{text:?}");
    }
    for text in
        ["12345678", "🔑🔑🔑🔑🔑🔑🔑🔑", "a b c d e", "пароль-длинный", &"x".repeat(1_024), &"e\u{301}".repeat(500)]
    {
        assert!(Password::new(text).is_ok(), "{text:?}");
    }
    assert_eq!(format!("{:?}", password("12345678")), "Password");
}

#[test]
fn the_same_password_typed_on_two_systems_is_the_same() {
    assert_eq!(password("cafe\u{301} au lait").0, password("caf\u{e9} au\u{a0}lait").0);
    assert_ne!(password("Password").0, password("password").0, "case counts");
    assert_ne!(password("ﬁnished!").0, password("finished!").0, "letters that only look alike stay apart");
    assert_ne!(password(" 12345678").0, password("12345678").0, "space at the ends counts");
}

#[tokio::test]
async fn a_hash_is_that_of_its_password_alone() {
    let hasher = PasswordHasher::start().unwrap();
    let stored = hasher.hash(&password("correct horse")).await.unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    assert!(hasher.verify(&password("correct horse"), Some(&stored)).await.unwrap());
    assert!(!hasher.verify(&password("correct horsf"), Some(&stored)).await.unwrap());
    assert!(!hasher.verify(&password("correct horse"), None).await.unwrap());
    assert_ne!(hasher.hash(&password("correct horse")).await.unwrap(), stored, "two hashes have one salt");
}

/// The hashes are OpenSSL's.
#[tokio::test]
async fn hashes_of_other_programs_and_other_parameters_are_read() {
    let hasher = PasswordHasher::start().unwrap();
    for stored in OTHERS {
        assert!(hasher.verify(&password("password"), Some(stored)).await.unwrap(), "{stored}");
        assert!(!hasher.verify(&password("passwore"), Some(stored)).await.unwrap(), "{stored}");
    }
    assert!(!needs_rehash(OTHERS[0]));
    assert!(needs_rehash(OTHERS[1]));
    assert!(needs_rehash(OTHERS[2]));
}

const OTHERS: [&str; 3] = [
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzLg$jT8W61U9sp/EowR0k9UfBNXLp8HO57I9Vw46rf/G6gM",
    "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQxNmJ5dGVzLg$CHHWRDKU+2mDFQOxpcFewvBo87ffE53rUEEcslYfn7k",
    "$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHQ$HRUiJsWZ9ib3WnZCyyNCOw",
];

#[tokio::test]
async fn what_is_no_hash_is_an_error_and_never_a_match() {
    let hasher = PasswordHasher::start().unwrap();
    let good = hasher.hash(&password("password")).await.unwrap();
    for stored in [
        String::new(),
        "password".to_owned(),
        good.replace("argon2id", "argon2i"),
        good.replace("v=19$", "v=16$"),
        good.replace("v=19$", ""),
        good.replace("m=19456", "m=65537"),
        good.replace("m=19456", "m=4294967295"),
        good.replace("t=2", "t=11"),
        good.replace("p=1", "p=5"),
        good.rsplit_once('$').unwrap().0.to_owned(),
    ] {
        let answer = hasher.verify(&password("password"), Some(&stored)).await;
        assert!(matches!(answer, Err(PasswordError::Stored(_))), "{stored}: {answer:?}");
        assert!(needs_rehash(&stored), "{stored}");
    }
    assert!(hasher.verify(&password("password"), Some(&good)).await.unwrap(), "the thread has ended");
}

/// One hash at a time, and no more waiting than may: of many at once, those beyond are refused, and all others
/// are answered.
#[tokio::test]
async fn a_storm_is_refused_beyond_the_queue() {
    let hasher = Arc::new(PasswordHasher { queue: Arc::new(Queue::new(PASSWORDS_WAITING_MAX)) });
    let ask = |_| {
        let hasher = Arc::clone(&hasher);
        tokio::spawn(async move { hasher.verify(&password("password"), None).await })
    };
    let asked: Vec<_> = (0..PASSWORDS_WAITING_MAX + 5).map(ask).collect();
    tokio::task::yield_now().await;
    // Whoever leaves makes room.
    let mut answers = Vec::new();
    let (refused, waiting): (Vec<_>, Vec<_>) = asked.into_iter().partition(|task| task.is_finished());
    assert_eq!((refused.len(), waiting.len()), (5, PASSWORDS_WAITING_MAX));
    for task in refused {
        assert!(matches!(task.await.unwrap(), Err(PasswordError::Busy)));
    }
    let (leave, stay) = waiting.split_at(PASSWORDS_WAITING_MAX - 2);
    leave.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::task::yield_now().await;
    assert!(stay.iter().all(|task| !task.is_finished()));
    let late = ask(0);
    tokio::task::yield_now().await;
    let queue = Arc::clone(&hasher.queue);
    let worker = thread::spawn(move || run(&queue));
    for task in waiting.into_iter().skip(PASSWORDS_WAITING_MAX - 2).chain([late]) {
        answers.push(task.await.unwrap().unwrap());
    }
    assert_eq!(answers, [false; 3]);
    drop(hasher);
    worker.join().unwrap();
}

#[tokio::test]
async fn who_waits_is_told_when_the_thread_ends() {
    let hasher = PasswordHasher { queue: Arc::new(Queue::new(2)) };
    let password = password("password");
    let waiting = hasher.hash(&password);
    let closing = async { hasher.queue.close() };
    let (answer, ()) = tokio::join!(waiting, closing);
    assert!(matches!(answer, Err(PasswordError::Stopped)), "{answer:?}");
    assert!(matches!(hasher.hash(&password).await, Err(PasswordError::Stopped)));
}
