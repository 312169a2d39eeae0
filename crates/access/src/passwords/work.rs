//! The work itself: argon2id (RFC 9106) with the parameters that OWASP recommends first, in memory that is used
//! again. Reads hashes of other parameters as long as they are bounded, so that parameters can change.

use std::error::Error;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;

use crate::random;

/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19 * 1024;
/// How often the memory is passed over.
const PASSES: u32 = 2;
/// Lanes of memory that could be filled at once.
const LANES: u32 = 1;
/// Bytes of a hash.
const HASH_BYTES: usize = 32;
/// Bytes of a salt.
const SALT_BYTES: usize = 16;
/// Most memory that a stored hash may ask for, in KiB.
const STORED_MEMORY_KIB_MAX: u32 = 64 * 1024;
/// Most passes that a stored hash may ask for.
const STORED_PASSES_MAX: u32 = 10;
/// Most lanes that a stored hash may ask for.
const STORED_LANES_MAX: u32 = 4;
/// The salt of the work for an account that is not there.
const NOBODYS_SALT: [u8; SALT_BYTES] = *b"no such account.";

type Cause = Box<dyn Error + Send + Sync>;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum WorkError {
    /// The stored text is not one that is read.
    Stored(Cause),
    /// The system gave no randomness, or argon2 refused its parameters.
    Failed(Cause),
}

/// Computes hashes, one after the other in the same memory.
#[derive(Default)]
pub(super) struct Worker {
    memory: Vec<Block>,
}

impl Worker {
    /// The PHC string of a password under a new salt.
    pub(super) fn hash(&mut self, password: &[u8]) -> Result<String, WorkError> {
        let salt = random::bytes::<SALT_BYTES>().map_err(|why| WorkError::Failed(why.into()))?;
        let params = params().map_err(failed)?;
        let phc = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).map_err(failed)?,
            salt: Some(Salt::new(&salt).map_err(failed)?),
            hash: Some(Output::new(&self.compute(password, &salt, params)?).map_err(failed)?),
        };
        Ok(phc.to_string())
    }

    /// Whether the stored hash is the password's. Without one the work is the same, and the answer `false`.
    pub(super) fn verify(&mut self, password: &[u8], stored: Option<&str>) -> Result<bool, WorkError> {
        let Some(stored) = stored else {
            self.compute(password, &NOBODYS_SALT, params().map_err(failed)?)?;
            return Ok(false);
        };
        let stored = Stored::read(stored)?;
        let hash = self.compute(password, &stored.salt, stored.params)?;
        Ok(hash.ct_eq(stored.hash.as_bytes()).into())
    }

    fn compute(&mut self, password: &[u8], salt: &[u8], params: Params) -> Result<Vec<u8>, WorkError> {
        let own = usize::try_from(MEMORY_KIB).unwrap_or(usize::MAX);
        let blocks = params.block_count();
        let mut hash = vec![0; params.output_len().unwrap_or(HASH_BYTES)];
        self.memory.resize(blocks.max(own), Block::new());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into_with_memory(password, salt, &mut hash, &mut self.memory).map_err(failed)?;
        if blocks > own {
            self.memory.truncate(own);
            self.memory.shrink_to_fit();
        }
        Ok(hash)
    }
}

/// Whether a stored hash was made with other parameters than one made today, or cannot be read.
pub fn needs_rehash(phc: &str) -> bool {
    let is_of_today = |stored: Stored| {
        let (params, hash) = (&stored.params, stored.hash.as_bytes());
        let is_as_dear = (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, LANES);
        is_as_dear && hash.len() == HASH_BYTES && stored.salt.len() == SALT_BYTES
    };
    !Stored::read(phc).is_ok_and(is_of_today)
}

/// A stored hash that this version can compare with.
struct Stored {
    params: Params,
    salt: Salt,
    hash: Output,
}

impl Stored {
    fn read(text: &str) -> Result<Self, WorkError> {
        let unread = |why: &str| WorkError::Stored(why.into());
        let phc = PasswordHash::new(text).map_err(|why| WorkError::Stored(why.to_string().into()))?;
        if phc.algorithm != Algorithm::Argon2id.ident() || phc.version != Some(Version::V0x13.into()) {
            return Err(unread("not argon2id of version 19"));
        }
        let params = Params::try_from(&phc).map_err(|why| WorkError::Stored(why.to_string().into()))?;
        let is_dear = params.m_cost() > STORED_MEMORY_KIB_MAX
            || params.t_cost() > STORED_PASSES_MAX
            || params.p_cost() > STORED_LANES_MAX;
        if is_dear || !params.keyid().is_empty() || !params.data().is_empty() {
            return Err(unread("parameters that are dearer than any may be, or unknown"));
        }
        let (Some(salt), Some(hash)) = (phc.salt, phc.hash) else { return Err(unread("without salt or hash")) };
        Ok(Self { params, salt, hash })
    }
}

fn params() -> argon2::Result<Params> {
    Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES))
}

fn failed(why: impl ToString) -> WorkError {
    WorkError::Failed(why.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which accounts there are cannot be told by the work that an answer takes.
    #[test]
    fn nobodys_password_takes_the_work_of_anyones() {
        let mut nobodys = Worker::default();
        assert!(matches!(nobodys.verify(b"password", None), Ok(false)));
        let mut anyones = Worker::default();
        let mut hash = [0; HASH_BYTES];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params().unwrap_or_default());
        anyones.memory.resize(nobodys.memory.len(), Block::new());
        let computed =
            argon2.hash_password_into_with_memory(b"password", &NOBODYS_SALT, &mut hash, &mut anyones.memory);
        assert!(computed.is_ok() && nobodys.memory.len() == 19 * 1024);
        let words = |worker: &Worker| worker.memory.iter().map(|block| block.as_ref().to_vec()).collect::<Vec<_>>();
        assert!(words(&nobodys) == words(&anyones), "the memory is not that of a whole hash");
    }

    #[test]
    fn the_memory_of_a_dearer_hash_is_given_back() {
        let mut worker = Worker::default();
        let dear = "$argon2id$v=19$m=65536,t=1,p=1$c29tZXNhbHQxNmJ5dGVzLg$jT8W61U9sp/EowR0k9UfBNXLp8HO57I9Vw46rf/G6gM";
        assert!(matches!(worker.verify(b"password", Some(dear)), Ok(false)));
        assert_eq!(worker.memory.capacity(), 19 * 1024);
    }
}
