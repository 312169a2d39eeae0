//! Passwords: what may be one, and their hashes at rest (argon2id, as PHC strings).
//!
//! A hash is made to be expensive, so all of them are computed by one thread of low priority, one at a time: a
//! storm of logins takes neither the memory nor the processors that taking events needs. Few callers may wait;
//! more are refused at once. Knows no accounts: whether there is one is told by the caller, and costs the same.

mod queue;
mod work;

use std::fmt;
use std::sync::Arc;
use std::thread;

use domain::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, PASSWORDS_WAITING_MAX};
use tokio::sync::oneshot;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use self::queue::{Queue, Refused, Wanted};
use self::work::{WorkError, Worker};

pub use self::work::needs_rehash;

/// Scheduling priority of the thread that hashes, on the scale of nice.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// A text whose bytes exceed the limit this many times is not even normalised: composing shortens less.
const BYTES_BEFORE_COMPOSING: usize = 3 * PASSWORD_BYTES_MAX;

/// A password as someone typed it, in the form that is hashed; wiped when dropped.
///
/// Its form is that of `OpaqueString` (RFC 8265): composed (NFC), with every kind of space as the plain one, so
/// that the same password typed on two systems is the same, and case is kept.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password of at least 8 characters and at most 1,024 bytes. Which characters it has is free, as NIST
    /// SP 800-63B asks, but for control characters, which no one means to type.
    ///
    /// # Errors
    /// [`InvalidPassword`], one sentence that can be shown to who typed it.
    pub fn new(text: &str) -> Result<Self, InvalidPassword> {
        if text.len() > BYTES_BEFORE_COMPOSING {
            return Err(InvalidPassword::Long);
        }
        // Composing makes a text at most three times as long; with room for that, it is never moved and left behind.
        let mut composed = Zeroizing::new(String::with_capacity(3 * text.len()));
        composed.extend(text.chars().map(|c| if c.is_whitespace() && !c.is_control() { ' ' } else { c }).nfc());
        if composed.len() > PASSWORD_BYTES_MAX {
            return Err(InvalidPassword::Long);
        }
        if composed.chars().any(char::is_control) {
            return Err(InvalidPassword::Control);
        }
        if composed.chars().count() < PASSWORD_CHARS_MIN {
            return Err(InvalidPassword::Short);
        }
        if composed.chars().all(char::is_whitespace) {
            return Err(InvalidPassword::Blank);
        }
        Ok(Self(composed))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Why a text cannot be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// Too few characters.
    #[error("a password has at least {PASSWORD_CHARS_MIN} characters")]
    Short,
    /// Too many bytes.
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    Long,
    /// Nothing but space.
    #[error("a password is not blank")]
    Blank,
    /// A line break, a tab, NUL or the like.
    #[error("a password has no control characters, such as a line break or a tab")]
    Control,
}

/// Why a password was not hashed or not compared.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// As many wait as may; try again later.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// The thread has ended: the process is shutting down.
    #[error("passwords are no longer checked")]
    Stopped,
    /// The stored text is no hash that this version reads, or one that takes more memory than any may.
    #[error("the stored hash of a password cannot be read")]
    Stored(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system gave no randomness for a salt, or the hash could not be computed.
    #[error("failed to hash a password")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<WorkError> for PasswordError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Stored(why) => Self::Stored(why),
            WorkError::Failed(why) => Self::Failed(why),
        }
    }
}

/// Hashes and compares passwords on a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct PasswordHasher {
    queue: Arc<Queue<Job>>,
}

impl PasswordHasher {
    /// Starts the thread. Its 19 MiB are taken with the first password and used again for every other.
    ///
    /// # Errors
    /// What the operating system says when it starts no thread.
    pub fn start() -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(PASSWORDS_WAITING_MAX));
        let work = Arc::clone(&queue);
        thread::Builder::new().name("passwords".to_owned()).spawn(move || run(&work))?;
        Ok(Self { queue })
    }

    /// The PHC string to store for a password, with a salt of its own. A caller that no longer waits costs no
    /// work, unless it has begun.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: &Password) -> Result<String, PasswordError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Job::Hash { password: password.clone(), answer })?;
        Ok(answered.await.map_err(|_| PasswordError::Stopped)??)
    }

    /// Whether the password is the one of the stored PHC string. Without one, when there is no such account, the
    /// answer is `false` after the same work. A caller that no longer waits costs no work, unless it has begun.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn verify(&self, password: &Password, stored: Option<&str>) -> Result<bool, PasswordError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Job::Verify { password: password.clone(), stored: stored.map(str::to_owned), answer })?;
        Ok(answered.await.map_err(|_| PasswordError::Stopped)??)
    }

    fn ask(&self, job: Job) -> Result<(), PasswordError> {
        self.queue.push(job).map_err(|refused| match refused {
            Refused::Full => PasswordError::Busy,
            Refused::Closed => PasswordError::Stopped,
        })
    }
}

impl Drop for PasswordHasher {
    fn drop(&mut self) {
        self.queue.close();
    }
}

enum Job {
    Hash { password: Password, answer: oneshot::Sender<Result<String, WorkError>> },
    Verify { password: Password, stored: Option<String>, answer: oneshot::Sender<Result<bool, WorkError>> },
}

impl Wanted for Job {
    fn is_wanted(&self) -> bool {
        match self {
            Self::Hash { answer, .. } => !answer.is_closed(),
            Self::Verify { answer, .. } => !answer.is_closed(),
        }
    }
}

/// Closes the queue however the thread ends, so that nobody waits for it any more.
struct Closing<'a>(&'a Queue<Job>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn run(queue: &Queue<Job>) {
    yield_to_others();
    let closing = Closing(queue);
    let mut worker = Worker::default();
    while let Some(job) = closing.0.take() {
        // Whoever asked may have gone meanwhile.
        match job {
            Job::Hash { password, answer } => drop(answer.send(worker.hash(password.0.as_bytes()))),
            Job::Verify { password, stored, answer } => {
                drop(answer.send(worker.verify(password.0.as_bytes(), stored.as_deref())));
            }
        }
    }
}

/// A login can wait; taking events cannot. On Linux this concerns the calling thread alone, elsewhere it would
/// be the whole process.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(why) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(error = %why, "hashing passwords at normal priority");
    }
}

#[cfg(test)]
mod tests;
